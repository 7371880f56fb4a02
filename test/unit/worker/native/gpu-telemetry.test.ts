import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { GpuReading } from '../../../../shared/gpu-reading.ts';
import { MAX_GPU_ANSWER_BYTES } from '../../../../shared/limits.ts';
import { GpuTelemetry, type WatchedGpus } from '../../../../worker/native/gpu-telemetry.ts';
import { until } from '../../../hostile/honest.ts';
import { standIns, systemPath } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const SOON = { intervalMilliseconds: 1, answerMilliseconds: 60_000, retryMilliseconds: 1 };

/** Polls the nvidia-smi on PATH until the test ends. */
function watch(uuid?: string, times = SOON) {
  const watched: WatchedGpus = uuid === undefined ? { indices: new Set([0]) } : { uuid };
  const reports: (readonly GpuReading[])[] = [];
  const lines: string[] = [];
  const telemetry = new GpuTelemetry({
    times,
    watched: () => Promise.resolve(watched),
    report: (gpus) => void reports.push(gpus),
    log: (level, message) => void lines.push(`${level}: ${message}`),
  });
  onTestFinished(() => telemetry.stop());
  telemetry.start();
  const reported = (count: number) =>
    until(
      () => reports.length >= count,
      () => `${reports.length} reports; ${lines.join()}`,
    );
  return { telemetry, reports, lines, reported };
}

/** Puts a fake nvidia-smi on PATH. In its script, $D is the returned folder. */
function nvidiaSmi(script: string): string {
  const folder = temporaryFolder();
  standIns({ 'nvidia-smi': `D='${folder}'\n${script}` }, systemPath);
  return folder;
}

const linesOf = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe('a worker that has nvidia-smi', () => {
  it('reports the readings repeatedly, with one process at a time', async () => {
    const folder = nvidiaSmi(
      'echo begin >> "$D/log"; sleep 0.02; echo "0, 57, 1, 2, 34, 118.25"; echo end >> "$D/log"',
    );
    const { reports, reported, lines } = watch();
    await reported(5);
    expect(new Set(reports.map((gpus) => JSON.stringify(gpus))).size).toBe(1);
    expect(reports[0]).toMatchObject([{ index: 0, utilization: 0.57, powerWatts: 118.25 }]);
    const log = linesOf(join(folder, 'log')).slice(0, 10);
    expect(log).toEqual(Array.from({ length: 5 }, () => ['begin', 'end']).flat());
    expect(lines).toEqual([]);
  });

  it('does not block while it waits for an answer', async () => {
    const folder = nvidiaSmi('until [ -e "$D/go" ]; do sleep 0.01; done; echo "0, 57"');
    const { reports, reported } = watch();
    expect(reports).toEqual([]);
    writeFileSync(join(folder, 'go'), '');
    await reported(1);
  });

  it('queries all GPUs and reports those that it may use, or queries only its own', async () => {
    const folder = nvidiaSmi('echo "$*" >> "$D/log"; echo "0, 57"');
    await watch().reported(1);
    await watch('GPU-5f0c').reported(1);
    const query =
      '--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw ' +
      '--format=csv,noheader,nounits';
    expect(new Set(linesOf(join(folder, 'log')))).toEqual(
      new Set([query, `--id=GPU-5f0c ${query}`]),
    );
  });

  it('logs only the first failure, and reports once that no reading is available', async () => {
    const folder = nvidiaSmi(
      'echo . >> "$D/log"; [ -e "$D/well" ] && echo "0, 57" || ' +
        '{ echo "couldn\'t communicate"; exit 9; }',
    );
    const asked = () => linesOf(join(folder, 'log')).length;
    const askedAgain = async (times: number) => {
      const goal = asked() + times;
      await until(
        () => asked() >= goal,
        () => `asked ${asked()} times`,
      );
    };
    const { reports, lines, reported } = watch();
    await askedAgain(3);
    expect(reports).toEqual([]);
    expect(lines).toEqual([expect.stringMatching(/^debug: nvidia-smi .*couldn't communicate/s)]);
    writeFileSync(join(folder, 'well'), '');
    await reported(1);
    rmSync(join(folder, 'well'));
    await askedAgain(4);
    expect(reports.filter((gpus) => gpus.length === 0)).toEqual([[]]);
    expect(reports.at(-1)).toEqual([]);
    expect(lines).toHaveLength(1);
  });

  it('polls less often after a failure', async () => {
    const folder = nvidiaSmi('echo "$*" >> "$D/log"; [ "$1" = --id=0 ] && echo "0, 57"');
    const times = { ...SOON, retryMilliseconds: 600_000 };
    const failing = watch('1', times);
    await until(
      () => failing.lines.length === 1,
      () => 'the failure is not logged',
    );
    await watch('0', times).reported(5);
    expect(linesOf(join(folder, 'log')).filter((line) => line.startsWith('--id=1'))).toHaveLength(
      1,
    );
  });

  it('kills nvidia-smi when the worker stops polling', async () => {
    const folder = nvidiaSmi('echo $$ >> "$D/pids"; exec sleep 1000');
    const { telemetry, reports, lines } = watch();
    const pids = () => linesOf(join(folder, 'pids')).map(Number);
    await until(
      () => pids().length > 0,
      () => 'nvidia-smi was not started',
    );
    telemetry.stop();
    await until(
      () => !pids().some(isAlive),
      () => 'nvidia-smi is still running',
    );
    expect([reports, lines]).toEqual([[], []]);
  });

  it('kills a process that hangs, and polls again', async () => {
    // The child keeps the pipe open until the test ends.
    const folder = nvidiaSmi(
      'echo $$ >> "$D/pids"; while [ -e "$D/pids" ]; do sleep 0.1; done & wait',
    );
    const { reports, lines } = watch(undefined, { ...SOON, answerMilliseconds: 300 });
    const pids = () => linesOf(join(folder, 'pids')).map(Number);
    await until(
      () => pids().length >= 3,
      () => `${pids().length} were started; ${lines.join()}`,
    );
    expect(pids().slice(0, 2).filter(isAlive)).toEqual([]);
    expect(lines).toEqual(['debug: nvidia-smi returned no GPU readings: no answer within 300 ms']);
    expect(reports).toEqual([]);
  });

  it('limits how many bytes of an answer it reads', async () => {
    nvidiaSmi(`yes "0, 57" | head -c ${MAX_GPU_ANSWER_BYTES + 1}`);
    const { reports, lines } = watch();
    await until(
      () => lines.length === 1,
      () => 'nothing is logged',
    );
    expect(lines).toEqual([expect.stringMatching(/maxBuffer/)]);
    expect(reports).toEqual([]);
  });

  it.each([
    ['cannot be started', 'no program at all', undefined],
    ['lists no GPU', undefined, 'echo "No devices were found"'],
  ])('reports nothing when nvidia-smi %s', async (_, text, script) => {
    const folder = nvidiaSmi(script ?? ':');
    const [bin = ''] = (process.env['PATH'] ?? '').split(':');
    if (text !== undefined)
      writeFileSync(join(bin, 'nvidia-smi'), `#!${join(folder, 'nowhere')}\n${text}`);
    const { reports, lines } = watch();
    await until(
      () => lines.length === 1,
      () => 'nothing is logged',
    );
    expect(reports).toEqual([]);
  });
});

it('a worker continues if no process can be started', async () => {
  nvidiaSmi('echo "0, 57"');
  // The argument exceeds the system's limit, so the process cannot be started.
  const { reports, lines } = watch('x'.repeat(2 ** 20));
  await until(
    () => lines.length === 1,
    () => 'nothing is logged',
  );
  expect([reports, lines]).toEqual([[], [expect.stringMatching(/E2BIG/)]]);
});

it('a worker that starts without nvidia-smi never runs one that is added later', async () => {
  const bin = standIns(
    {},
    systemPath.filter((folder) => !existsSync(join(folder, 'nvidia-smi'))),
  );
  const { reports, lines } = watch('7');
  const log = join(temporaryFolder(), 'log');
  writeFileSync(join(bin, 'nvidia-smi'), `#!/bin/sh\necho "$1" >> '${log}'; echo "0, 57"\n`, {
    mode: 0o755,
  });
  await watch('8').reported(5);
  expect(new Set(linesOf(log))).toEqual(new Set(['--id=8']));
  expect([reports, lines]).toEqual([[], []]);
});

it('a worker that may not use any GPU does not run nvidia-smi', async () => {
  const folder = nvidiaSmi('echo . >> "$D/log"; echo "0, 57"');
  const telemetry = new GpuTelemetry({
    times: SOON,
    report: () => undefined,
    log: () => undefined,
    watched: () => Promise.resolve({ indices: new Set() }),
  });
  telemetry.start();
  await watch('GPU-5f0c').reported(1);
  telemetry.stop();
  expect(linesOf(join(folder, 'log')).length).toBeGreaterThan(0);
});
