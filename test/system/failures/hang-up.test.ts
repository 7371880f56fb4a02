import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { errorTable } from '../../../shared/errors.ts';
import { parseRunRecord } from '../../../shared/files/run-schema.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { newRun } from '../../fixtures/processes/options.ts';
import { onTerminal } from '../../fixtures/processes/on-terminal.ts';
import { executable, start, until } from '../../fixtures/processes/program.ts';
import { stepsWritten } from '../../fixtures/processes/steps-written.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const LINE_BREAK = '\r';
const CTRL_Z = '\u001a';
const ENDLESS = ['--engine', 'reference', '--hidden', '8', '--steps', '1000000', '--no-http'];

function record(directory: string) {
  const path = join(directory, 'run.json');
  return parseRunRecord(readFileSync(path, 'utf8'), path);
}

async function trainsOn(directory: string): Promise<void> {
  const before = stepsWritten(directory);
  await until(() => (stepsWritten(directory) > before + 10 ? true : undefined));
}

it('a run continues when the readers of its output are gone', async () => {
  const runs = temporaryFolder();
  const directory = join(runs, 'r');
  const options = ['--engine', 'reference', '--hidden', '8', '--no-http', '--epochs', '1'];
  const local = start(['local', ...newRun(runs), ...options, '--batch-size', '256']);
  await until(() => (stepsWritten(directory) > 0 ? true : undefined), local);
  // From now on, every write fails with EPIPE.
  local.process.stdout?.destroy();
  local.process.stderr?.destroy();
  expect(record(directory).state).toBe('running');
  expect(await local.exited).toBe(0);
  expect(record(directory).state).toBe('finished');
});

describe('a terminal', () => {
  it('suspends and continues a run, and ends it with a checkpoint when it is closed', async () => {
    const runs = temporaryFolder();
    const directory = join(runs, 'r');
    const shell = onTerminal(['bash', '--norc', '--noprofile', '-i']);
    const command = [process.execPath, executable, 'local', ...newRun(runs), ...ENDLESS];
    shell.type(`${command.join(' ')}${LINE_BREAK}`);
    await until(() => (stepsWritten(directory) > 0 ? true : undefined), shell);
    shell.type(CTRL_Z);
    await shell.says(/Stopped/);
    shell.type(`fg${LINE_BREAK}`);
    await trainsOn(directory);
    shell.close();
    await until(() => (record(directory).state === 'running' ? undefined : true));
    expect(record(directory)).toMatchObject({ state: 'interrupted' });
    expect(record(directory).step).toBeGreaterThan(0);
    expect(readFileSync(join(directory, 'events.jsonl'), 'utf8')).toContain('"code":"HUNG_UP"');
  });

  it('ends a worker with exit code HUNG_UP when it is closed', async () => {
    const url = `ws://127.0.0.1:${await freePort()}`;
    const worker = onTerminal([
      process.execPath,
      executable,
      'worker',
      '--engine',
      'reference',
      '--coordinator',
      url,
    ]);
    await worker.says(/retrying/);
    worker.close();
    await worker.says(new RegExp(`ended with ${errorTable.HUNG_UP.exit}\n`));
  });

  it('ends a coordinator with exit code HUNG_UP when it is closed', async () => {
    const options = [...newRun(temporaryFolder()), '--no-http'];
    const coordinator = onTerminal([process.execPath, executable, 'coordinator', ...options]);
    await coordinator.says(/waiting for workers/);
    coordinator.close();
    await coordinator.says(new RegExp(`ended with ${errorTable.HUNG_UP.exit}\n`));
  });

  it('ends a worker with exit code HUNG_UP when it is closed at the join prompt', async () => {
    const worker = onTerminal([process.execPath, executable, 'worker', '--join', '-']);
    await worker.says(/is not shown/);
    worker.close();
    await worker.says(new RegExp(`ended with ${errorTable.HUNG_UP.exit}\n`));
  });

  it('does not end a run that npm started under nohup', async () => {
    const runs = temporaryFolder();
    const directory = join(runs, 'r');
    const log = join(runs, 'log');
    let ended = false;
    const options = [...newRun(runs), ...ENDLESS].join(' ');
    const shell = onTerminal(['sh', '-c', `nohup npm start -- ${options} > ${log} 2>&1 & wait`]);
    await until(() => (stepsWritten(directory) > 0 ? true : undefined), shell);
    const { pid } = z
      .object({ pid: z.int() })
      .parse(JSON.parse(readFileSync(join(directory, 'lock.json'), 'utf8')));
    onTestFinished(() => void (ended || process.kill(pid, 'SIGKILL')));
    shell.close();
    await until(() => (/SIGHUP is ignored/.test(readFileSync(log, 'utf8')) ? true : undefined));
    await trainsOn(directory);
    process.kill(pid, 'SIGTERM');
    await until(() => (record(directory).state === 'running' ? undefined : true));
    ended = true;
  });
});
