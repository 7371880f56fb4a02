import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { RunFiles, type ResumeOptions } from '../../../../coordinator/run-directory/run-files.ts';
import { systemDisk } from '../../../../shared/disk/disk.ts';
import { systemClock } from '../../../../shared/clock.ts';
import type { ClusterError } from '../../../../shared/errors.ts';
import { readMetrics } from '../../../../shared/files/metrics.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { decodeTensors } from '../../../../shared/files/safetensors.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { sampleRun } from '../../../fixtures/run-record.ts';
import { configurationOfRecord } from '../../../../shared/configuration.ts';
import { denseModel, parameterCount } from '../../../../shared/arithmetic/model-shape.ts';

let runs: string;
let errors: ClusterError[];
beforeEach(async () => {
  errors = [];
  runs = await mkdtemp(join(tmpdir(), 'mnist-dist-store-'));
});
afterEach(() => rm(runs, { recursive: true, force: true }));

const date = () => new Date('2026-01-02T03:04:05.678Z');
const options = {
  disk: systemDisk,
  clock: { ...systemClock, date, now: () => 0 },
  processes: systemProcesses,
  keepCheckpoints: 2,
  onError: (error: ClusterError) => void errors.push(error),
  onSpace: () => undefined,
};
const elsewhere = {
  ...systemProcesses,
  self: () => ({ ...systemProcesses.self(), host: 'elsewhere' }),
};
const open = (runId: string) => RunFiles.create({ ...options, runs, runId });
const read = (...path: string[]) => readFile(join(runs, ...path), 'utf8');
const step = {
  epoch: 1,
  samples: 32,
  loss: 2.25,
  correct: 3,
  milliseconds: 1,
  weights: 1n,
  chain: 'cd'.repeat(32),
};
const configuration = { ...configurationFixture, model: denseModel([1, 3], [2], 0, 2) };
const state = [new Float32Array(14), new Float32Array(14)];
const checkpoint = {
  configuration,
  step: 2,
  evaluated: { validation: 0, test: 0 },
  chain: 'ef'.repeat(32),
  fingerprint: 'ab'.repeat(32),
  weights: new Float32Array(14),
  state,
};
const model = { configuration, step: 2, chain: 'ef'.repeat(32), weights: new Float32Array(14) };

/** Resumes with all written lines, and ignores damage. */
const anyRun: Pick<ResumeOptions, 'damaged' | 'selectLines'> = {
  damaged: () => undefined,
  selectLines: ({ written }) => written,
};

describe('RunFiles', () => {
  it("writes a run's files", async () => {
    const files = await open('r');
    await files.writeRun(sampleRun);
    files.event('ready', { worker: 'w0' });
    for (let i = 1; i <= 1000; i++) files.step({ ...step, step: i });
    files.evaluation({ set: 'test', step: 1000, epoch: 1, samples: 10, loss: 0.5, correct: 7 });
    await files.writeModel(model);
    await files.writeArtifact('misclassified.jsonl', '{}\n');
    await files.writeRun({ ...sampleRun, state: 'finished', ended: date().toISOString() });
    await files.close();

    expect((await readdir(join(runs, 'r'))).toSorted()).toEqual([
      '.drafts-1',
      'artifacts',
      'events.jsonl',
      'metrics.jsonl',
      'model.safetensors',
      'run.json',
    ]);
    expect(parseRunRecord(await read('r', 'run.json'), 'run.json').state).toBe('finished');
    expect(await read('r', 'events.jsonl')).toBe(
      '{"time":"2026-01-02T03:04:05.678Z","elapsed":0,"event":"ready","worker":"w0"}\n',
    );
    const { lines, bad, torn } = readMetrics(await read('r', 'metrics.jsonl'));
    expect({ bad, torn, count: lines.length }).toEqual({
      bad: undefined,
      torn: false,
      count: 1001,
    });
    expect(
      decodeTensors(await readFile(join(runs, 'r', 'model.safetensors')), 'f').tensors,
    ).toHaveLength(4);
    expect(await read('r', 'artifacts', 'misclassified.jsonl')).toBe('{}\n');
    expect(errors).toEqual([]);
  });

  it('writes the same model bytes in every run directory', async () => {
    const digests = [];
    for (const id of ['a', 'b']) {
      const files = await open(id);
      await files.writeModel(model);
      await files.close();
      digests.push(
        createHash('sha256')
          .update(await read(id, 'model.safetensors'))
          .digest('hex'),
      );
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it('writes an event to the file before event() returns', async () => {
    const files = await open('r');
    files.event('one');
    expect(await read('r', 'events.jsonl')).toContain('"one"');
    await files.close();
  });

  it('does not mark a run as running once it has ended', async () => {
    const files = await open('r');
    await files.writeRun({ ...sampleRun, state: 'failed' });
    await files.writeRun({ ...sampleRun, state: 'failed' });
    await expect(files.writeRun(sampleRun)).rejects.toThrow('a failed run does not become running');
    await files.close();
  });

  it('keeps the last run.json of several that are written concurrently', async () => {
    const files = await open('r');
    const writes = Array.from({ length: 5 }, (_, i) => files.writeRun({ ...sampleRun, step: i }));
    await Promise.all(writes);
    expect(parseRunRecord(await read('r', 'run.json'), 'f').step).toBe(4);
    await files.close();
  });

  it('syncs the run directory before it selects lines', async () => {
    const files = await open('r');
    await files.writeRun({ ...sampleRun, state: 'finished', ended: date().toISOString() });
    await files.close();
    const synced: string[] = [];
    const syncDirectory = (path: string) => {
      synced.push(path);
      return systemDisk.syncDirectory(path);
    };
    let syncedBefore: readonly string[] = [];
    const selectLines: ResumeOptions['selectLines'] = ({ written }) => {
      syncedBefore = [...synced];
      return written;
    };
    const directory = join(runs, 'r');
    const old = { ...options, ...anyRun, directory, takeOver: false, selectLines };
    const resumed = await RunFiles.resume({ ...old, disk: { ...systemDisk, syncDirectory } });
    await resumed.files.close();
    expect(syncedBefore).toContain(directory);
  });

  it('rejects a run that already exists', async () => {
    const files = await open('r');
    await expect(open('r')).rejects.toMatchObject({ code: 'LOCKED' });
    await files.writeRun(sampleRun);
    await files.close();
    await expect(open('r')).rejects.toMatchObject({ code: 'RUN_EXISTS' });
  });

  it('reports a file that it cannot write, and still writes the others', async () => {
    const files = await open('r');
    await mkdir(join(runs, 'r', 'run.json'));
    await expect(files.writeRun(sampleRun)).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining('run.json'),
    });
    await files.writeModel(model);
    await files.close();
  });

  it('opens a directory that was abandoned before its first run.json', async () => {
    await (await open('r')).close();
    const files = await open('r');
    await files.writeRun(sampleRun);
    await files.close();
  });

  it('uses the folder name as the id, or the recorded id if that name is not valid', async () => {
    const store = await open('r');
    await store.writeRun({ ...sampleRun, run: 'r' });
    await store.close();
    for (const [name, path, id] of [
      ['renamed', join(runs, 'renamed'), 'renamed'],
      ['a copy', join(runs, 'a copy'), 'r'],
      ['renamed', relative(process.cwd(), join(runs, 'renamed', 'checkpoints', '..')), 'renamed'],
      ['renamed', `${join(runs, 'renamed')}/.`, 'renamed'],
    ] as const) {
      await cp(join(runs, 'r'), join(runs, name), { recursive: true });
      const resumed = await RunFiles.resume({
        ...options,
        ...anyRun,
        directory: path,
        takeOver: false,
      });
      expect(resumed.files.id).toBe(id);
      await resumed.files.close();
    }
  });

  it('resumes with the complete lines, and removes the remains of a crash', async () => {
    const first = await open('r');
    await first.writeRun(sampleRun);
    first.event('one');
    first.step({ ...step, step: 1 });
    await first.close();
    for (const name of ['metrics.jsonl', 'events.jsonl'])
      await appendFile(join(runs, 'r', name), '{"half');
    await mkdir(join(runs, 'r', '.drafts-7'));
    await writeFile(join(runs, 'r', '.drafts-7', 'half'), '');
    const { files, lines } = await RunFiles.resume({
      ...options,
      directory: join(runs, 'r'),
      takeOver: false,
      ...anyRun,
    });
    expect(lines.later).toHaveLength(1);
    files.event('two');
    files.step({ ...step, step: 2 });
    await files.close();
    expect(readMetrics(await read('r', 'metrics.jsonl'))).toMatchObject({
      torn: false,
      bad: undefined,
      lines: [{ step: 1 }, { step: 2 }],
    });
    expect((await read('r', 'events.jsonl')).match(/one|two/g)).toEqual(['one', 'two']);
    expect(await readdir(join(runs, 'r'))).not.toContain('.drafts-7');
  });

  it('removes a damaged checkpoint with its next one, and keeps the intact ones', async () => {
    const first = await open('r');
    await first.writeRun(sampleRun);
    const own = configurationOfRecord(sampleRun.configuration);
    const zeros = () => new Float32Array(parameterCount(own.model));
    const at = (number: number) => ({
      ...checkpoint,
      configuration: own,
      step: number,
      weights: zeros(),
      state: [zeros(), zeros()],
    });
    for (const number of [1, 2]) await first.writeCheckpoint(at(number));
    await first.close();
    await writeFile(join(runs, 'r', 'checkpoints', 'step-0000000002.safetensors'), 'damaged');
    const resumed = await RunFiles.resume({
      ...options,
      ...anyRun,
      directory: join(runs, 'r'),
      takeOver: false,
    });
    expect(resumed.checkpoint?.step).toBe(1);
    await resumed.files.writeCheckpoint(at(3));
    await resumed.files.close();
    expect((await readdir(join(runs, 'r', 'checkpoints'))).toSorted()).toEqual(
      ['1', '3'].map((number) => `step-000000000${number}.safetensors`),
    );
  });

  it('writes nothing after another coordinator has taken the run over', async () => {
    const old = await open('r');
    await old.writeRun(sampleRun);
    old.step({ ...step, step: 1 });
    await old.syncLines();
    const resume = { ...options, ...anyRun, processes: elsewhere, directory: join(runs, 'r') };
    await expect(RunFiles.resume({ ...resume, takeOver: false })).rejects.toMatchObject({
      code: 'LOCKED',
    });
    const { files } = await RunFiles.resume({ ...resume, takeOver: true });
    await files.writeRun({ ...sampleRun, term: 2 });

    old.step({ ...step, step: 2 });
    old.event('late');
    const locked = { code: 'LOCKED', message: expect.stringContaining('taken over') };
    await expect(old.writeRun(sampleRun)).rejects.toMatchObject(locked);
    await expect(old.writeModel(model)).rejects.toMatchObject(locked);
    await expect(old.writeCheckpoint(checkpoint)).rejects.toMatchObject(locked);
    await old.close();
    expect(await readdir(join(runs, 'r'))).toContain('lock.json');

    files.step({ ...step, step: 2 });
    await files.close();
    await expect(old.writeRun(sampleRun)).rejects.toThrow('the run is open');
    expect(parseRunRecord(await read('r', 'run.json'), 'f').term).toBe(2);
    expect(readMetrics(await read('r', 'metrics.jsonl'))).toMatchObject({
      torn: false,
      bad: undefined,
      lines: [{ step: 1 }, { step: 2 }],
    });
    expect(await read('r', 'events.jsonl')).not.toContain('late');
    expect(await readdir(join(runs, 'r'))).not.toContain('model.safetensors');
    expect(errors).toEqual([]);
  });

  it('reports that its folder is gone if it was removed', async () => {
    const files = await open('r');
    await files.writeRun(sampleRun);
    await rm(join(runs, 'r'), { recursive: true });
    const gone = { code: 'DISK', message: expect.stringContaining(`${join(runs, 'r')} is gone`) };
    await expect(files.writeRun(sampleRun)).rejects.toMatchObject(gone);
    await expect(files.writeCheckpoint(checkpoint)).rejects.toMatchObject(gone);
    await files.close();
  });
});
