import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { beforeAll, expect, it } from 'vitest';
import { trainingCurve } from '../../../../artifacts/report/training-curve.ts';
import { readOverview } from '../../../../cli/runs/run-overview.ts';
import { metricsNow, readRunContents } from '../../../../coordinator/run-directory/run-contents.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { RunFiles } from '../../../../coordinator/run-directory/run-files.ts';
import { systemDisk, type Disk } from '../../../../shared/disk/disk.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { RecordedRun } from '../../../../dashboards/feed/recorded-run.ts';
import { writeLongRun } from './long-run.ts';
import { planReplay } from '../../../../coordinator/replay/replay-plan.ts';

/** The number of steps of the longer run; a million take half a minute. */
const STEPS = Number(process.env['MNIST_DIST_LONG_RUN_STEPS'] ?? 20_000);
const MAX_GROWTH_BYTES = 2 * 1024 ** 2;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** The number of bytes that `read`'s result keeps in memory. */
async function retained(read: () => Promise<unknown>): Promise<number> {
  await read();
  collect();
  const before = process.memoryUsage().heapUsed;
  const kept = await read();
  collect();
  const after = process.memoryUsage().heapUsed;
  expect(kept).toBeDefined();
  return after - before;
}

const readers: Readonly<Record<string, (directory: string) => Promise<unknown>>> = {
  verify: async (directory) => await planReplay(await readRunContents(directory), undefined),
  show: async (directory) => await RecordedRun.open(await readRunContents(directory), undefined),
  report: async (directory) => await Promise.resolve(trainingCurve(() => metricsNow(directory))),
  runs: async (directory) => await readOverview(directory, 'long', 0),
};

let folder: string;
let short: string;
let long: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mnist-dist-long-'));
  [short, long] = [join(folder, 'short'), join(folder, 'long')];
  // The first run has more steps than a page's curve has points, the second several times as many.
  writeLongRun({ directory: short, steps: 5000 });
  writeLongRun({ directory: long, steps: STEPS });
  return () => rmSync(folder, { recursive: true, force: true });
});

it.each(Object.entries(readers))(
  '%s retains no more memory for a long run than for a short one',
  async (_, read) => {
    const growth = (await retained(() => read(long))) - (await retained(() => read(short)));
    expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
  },
);

it('a long run is read to its end', async () => {
  const directory = short;
  expect((await planReplay(await readRunContents(directory), undefined)).recorded.lastStep).toBe(
    5000,
  );
  expect(await readOverview(directory, 'long', 0)).toMatchObject({ step: 5000, workers: 1 });
  const shown = (await RecordedRun.open(await readRunContents(directory), undefined)).view();
  expect(shown?.curve.at(-1)?.[0]).toBe(5000);
  expect(shown?.status).toMatchObject({ step: 5000, workers: [{ name: 'w0', state: 'done' }] });
});

it('a run is shown with an older checkpoint if the newest one has been removed', async () => {
  const contents = await readRunContents(short);
  const gone = { step: 5001, path: join(short, 'checkpoints', 'removed') };
  const checkpoints = [...contents.checkpoints, gone];
  const shown = await RecordedRun.open({ ...contents, checkpoints }, undefined);
  expect(shown.weights()?.step).toBe(contents.checkpoints.at(-1)?.step);
});

/** Resumes a run up to its first step, and counts how many bytes of its files are read. */
async function resumed(directory: string) {
  let bytes = 0;
  const disk: Disk = {
    ...systemDisk,
    readAt: async (path, at, length) => {
      const piece = await systemDisk.readAt(path, at, length);
      bytes += piece.length;
      return piece;
    },
  };
  const { files, checkpoint, lines } = await RunFiles.resume({
    directory,
    disk,
    clock: systemClock,
    processes: systemProcesses,
    keepCheckpoints: 2,
    takeOver: false,
    onError: (error) => {
      throw error;
    },
    onSpace: () => undefined,
    damaged: (error) => {
      throw error;
    },
    selectLines: ({ written }) => written,
  });
  await files.close();
  return {
    bytes,
    step: checkpoint?.step,
    covered: lines.covered?.line.step,
    later: lines.later.length,
  };
}

it('a run is resumed without reading or copying the lines of all its steps', async () => {
  const inode = statSync(join(long, 'metrics.jsonl')).ino;
  const [few, many] = [await resumed(short), await resumed(long)];
  expect(many).toMatchObject({ step: STEPS - 10, covered: STEPS - 10 });
  expect(many.later).toBeGreaterThanOrEqual(10);
  expect(many.bytes).toBeLessThan(1.2 * few.bytes);
  expect(statSync(join(long, 'metrics.jsonl')).ino).toBe(inode);
});
