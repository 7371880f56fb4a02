import { readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { listening } from '../../fixtures/listening.ts';
import { childOf } from '../../fixtures/processes/children.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal } from '../../fixtures/processes/options.ts';
import { run, start, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/**
 * An empty fake S3 server that never accepts an upload; resolves when an upload starts.
 */
async function greedyServer(): Promise<{ environment: NodeJS.ProcessEnv; sent: Promise<void> }> {
  let heard: () => void = () => undefined;
  const sent = new Promise<void>((resolve) => (heard = resolve));
  const server = createServer((request, response) => {
    if (request.method === 'PUT') return heard();
    response.writeHead(404, { 'Content-Type': 'application/xml' });
    response.end(request.method === 'HEAD' ? '' : '<Error><Code>NoSuchKey</Code></Error>');
  });
  const environment = {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${await listening(server)}`,
    AWS_ACCESS_KEY_ID: 'a',
    AWS_SECRET_ACCESS_KEY: 'b',
    AWS_REGION: 'us-east-1',
  };
  return { environment, sent };
}

/** The command for a short run called `r` in this folder. */
const short = (runs: string) => [...quickLocal(runs), '--steps', '3', '--no-http'];

/** Starts a run whose upload never ends; resolves when the upload has begun. */
async function uploading(): Promise<{ local: Started; directory: string }> {
  const runs = temporaryFolder();
  const { environment, sent } = await greedyServer();
  const local = start([...short(runs), '--artifacts', 's3://bucket/x'], environment);
  await sent;
  return { local, directory: join(runs, 'r') };
}

const saysHowToPush = (directory: string) =>
  new RegExp(`mnist-dist\\S* push ${directory} s3://bucket/x`);

it('a coordinator that crashes during the upload fails', async () => {
  const { local, directory } = await uploading();
  process.kill(childOf(local, 'coordinator'), 'SIGKILL');
  expect(await local.exited, local.output()).toBe(errorTable.STORE.exit);
  expect(local.output()).toMatch(saysHowToPush(directory));
  expect(readRun(directory).record.state).toBe('finished');
});

it('Ctrl-C ends the upload and says how to finish it', async () => {
  const { local, directory } = await uploading();
  local.process.kill('SIGINT');
  expect(await local.exited, local.output()).toBe(errorTable.INTERRUPTED.exit);
  expect(local.output()).toMatch(saysHowToPush(directory));
});

it('a run that crashed while drawing its report draws the report when it resumes', async () => {
  const runs = temporaryFolder();
  const artifacts = join(runs, 'r', 'artifacts');
  // Drawing the report starts with this file.
  const failPoints = join(temporaryFolder(), 'fail-points');
  writeFileSync(failPoints, 'after rename summary.json\n');
  const preload = fileURLToPath(new URL('../failures/fail-points.mjs', import.meta.url));
  const local = start([...short(runs), '--pictures'], {
    NODE_OPTIONS: `--import=${preload}`,
    FAIL_POINTS: failPoints,
  });
  expect(await local.exited, local.output()).toBe(0);
  expect(local.output()).toContain('restarting it');
  expect(readdirSync(artifacts)).toEqual(
    expect.arrayContaining(['report.html', 'manifest.json', 'loss.png']),
  );
  const undisturbed = temporaryFolder();
  const { code } = await run([...short(undisturbed), '--pictures']);
  expect(code).toBe(0);
  const names = readdirSync(join(undisturbed, 'r', 'artifacts')).toSorted();
  expect(readdirSync(artifacts).toSorted()).toEqual(names);
});
