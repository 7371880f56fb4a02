import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Checkpoints } from '../../../../coordinator/run-directory/checkpoints.ts';
import { systemDisk, type Disk } from '../../../../shared/disk/disk.ts';
import {
  decodeCheckpoint,
  encodeCheckpoint,
  type Checkpoint,
} from '../../../../shared/files/checkpoint-file.ts';
import type { ClusterError } from '../../../../shared/errors.ts';
import { MAX_WORKERS } from '../../../../shared/limits.ts';
import { decodeTensors, encodeTensors } from '../../../../shared/files/safetensors.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { notEvaluated } from '../../../../shared/evaluation/evaluated-set.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';

const configuration = { ...configurationFixture, model: denseModel([1, 3], [2], 0, 2) };

function checkpointOf(step: number): Checkpoint {
  const values = (from: number) => Float32Array.from({ length: 14 }, (_, i) => from + i + step);
  return {
    configuration,
    step,
    evaluated: notEvaluated,
    chain: 'cd'.repeat(32),
    fingerprint: 'ab'.repeat(32),
    weights: values(0.5),
    state: [values(100), values(1000)],
  };
}

describe('a checkpoint file', () => {
  it.each([
    ['sgd.v.', { kind: 'sgd', momentum: 0.9, nesterov: true }],
    ['', { kind: 'sgd', momentum: 0, nesterov: false }],
  ] as const)('stores only the state that the optimizer has (%s)', (prefix, optimizer) => {
    const own = { ...configuration, optimizer };
    const all = checkpointOf(7);
    const checkpoint = { ...all, configuration: own, state: prefix === '' ? [] : [all.weights] };
    const bytes = encodeCheckpoint(checkpoint);
    const names = decodeTensors(bytes, 'file').tensors.map(({ name }) => name);
    expect(names).toHaveLength(prefix === '' ? 4 : 8);
    expect(names.slice(4).every((name) => name.startsWith(prefix))).toBe(true);
    expect(decodeCheckpoint(bytes, 'file', own)).toEqual(checkpoint);
    expect(() => encodeCheckpoint({ ...all, configuration: own })).toThrow('of the optimizer');
  });

  it('stores the model by name, then the moments, and returns both unchanged', () => {
    const bytes = encodeCheckpoint(checkpointOf(7));
    expect(decodeTensors(bytes, 'file').tensors.map(({ name }) => name)).toEqual(
      ['', 'adam.m.', 'adam.v.'].flatMap((prefix) =>
        ['dense.0.kernel', 'dense.0.bias', 'dense.1.kernel', 'dense.1.bias'].map(
          (name) => prefix + name,
        ),
      ),
    );
    expect(decodeCheckpoint(bytes, 'file', configuration)).toEqual(checkpointOf(7));
    expect(Buffer.from(encodeCheckpoint(checkpointOf(7))).equals(bytes)).toBe(true);
  });

  it('decodes to the same values regardless of the order of its tensors', () => {
    const { metadata, tensors } = decodeTensors(encodeCheckpoint(checkpointOf(7)), 'file');
    const turned = encodeTensors({ metadata, tensors: tensors.toReversed() });
    expect(decodeCheckpoint(turned, 'file', configuration)).toEqual(checkpointOf(7));
  });

  it("records each worker's samples, which an older file does not contain", () => {
    const shares = {
      from: 3,
      samples: new Map([
        ['w0', 320],
        ['"}', 1],
      ]),
    };
    const bytes = encodeCheckpoint({ ...checkpointOf(7), shares });
    expect(decodeCheckpoint(bytes, 'file', configuration)).toEqual({ ...checkpointOf(7), shares });
    expect(
      decodeCheckpoint(encodeCheckpoint(checkpointOf(7)), 'file', configuration).shares,
    ).toBeUndefined();
    const many = new Map(Array.from({ length: MAX_WORKERS + 1 }, (_, i) => [`w${i}`, 1]));
    const crowded = encodeCheckpoint({ ...checkpointOf(7), shares: { from: 0, samples: many } });
    expect(decodeCheckpoint(crowded, 'file', configuration).shares).toBeUndefined();
  });

  it('is rejected at every truncation and every changed byte', () => {
    const bytes = encodeCheckpoint(checkpointOf(7));
    for (let at = 0; at < bytes.length; at++) {
      expect(() => decodeCheckpoint(bytes.subarray(0, at), 'file', configuration)).toThrow(
        /^file /,
      );
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x11;
      let decoded: Checkpoint | undefined;
      try {
        decoded = decodeCheckpoint(changed, 'file', configuration);
      } catch {
        continue;
      }
      // No digest covers the run's position, which metrics.jsonl records as well.
      expect({ ...decoded, step: 7, evaluated: notEvaluated, chain: '', fingerprint: '' }).toEqual({
        ...checkpointOf(7),
        chain: '',
        fingerprint: '',
      });
    }
  });

  it('is rejected for a different configuration, but not for a different length', () => {
    const bytes = encodeCheckpoint(checkpointOf(7));
    expect(() => decodeCheckpoint(bytes, 'file', { ...configuration, seed: 99 })).toThrow(
      /a different configuration/,
    );
    expect(decodeCheckpoint(bytes, 'file', { ...configuration, epochs: 99 }).step).toBe(7);
  });
});

describe("a run's checkpoints", () => {
  it('are synced along with their directory before one of them is used', async () => {
    const folder = temporaryFolder();
    await new Checkpoints(folder, folder, 2, systemDisk).write(checkpointOf(1));
    const synced: string[] = [];
    const syncDirectory = (path: string) => {
      synced.push(path);
      return systemDisk.syncDirectory(path);
    };
    const found = new Checkpoints(folder, folder, 2, { ...systemDisk, syncDirectory });
    expect((await found.newest(configuration, () => undefined))?.step).toBe(1);
    expect(synced).toEqual([join(folder, 'checkpoints')]);
  });

  it('are limited to the last few, and the newest intact one is used', async () => {
    const folder = temporaryFolder();
    const checkpoints = new Checkpoints(folder, folder, 2, systemDisk);
    expect(await checkpoints.newest(configuration, () => undefined)).toBeUndefined();
    for (const step of [1, 2, 30]) await checkpoints.write(checkpointOf(step));
    const directory = join(folder, 'checkpoints');
    const names = (await readdir(directory)).toSorted();
    expect(names).toEqual(['step-0000000002.safetensors', 'step-0000000030.safetensors']);

    const newest = join(directory, 'step-0000000030.safetensors');
    const bytes = await readFile(newest);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(newest, bytes);
    await writeFile(join(directory, '.step-0000000031.safetensors.tmp'), 'half');
    await mkdir(join(directory, 'other'));
    const damaged: ClusterError[] = [];
    expect((await checkpoints.newest(configuration, (error) => damaged.push(error)))?.step).toBe(2);
    expect(damaged.map(({ message }) => message)).toEqual([expect.stringContaining('is damaged')]);

    // A run that resumes from a step before a damaged checkpoint keeps the checkpoints that it
    // writes.
    const one = new Checkpoints(folder, folder, 1, systemDisk);
    for (const step of [3, 4, 5]) await one.write(checkpointOf(step));
    expect((await one.newest(configuration, () => undefined))?.step).toBe(5);
    await one.write(checkpointOf(40));
    const left = (await readdir(directory)).filter((name) => name.startsWith('step-'));
    expect(left).toEqual(['step-0000000040.safetensors']);
  });

  it('are skipped if they cannot be read, are not removed, and take no place', async () => {
    const folder = temporaryFolder();
    const directory = join(folder, 'checkpoints');
    const before = new Checkpoints(folder, folder, 3, systemDisk);
    for (const step of [3, 5]) await before.write(checkpointOf(step));
    const broken = join(directory, 'step-0000000005.safetensors');
    await mkdir(join(directory, 'step-0000000009.safetensors'));
    const read: Disk['read'] = (path, limit) => {
      if (path === broken) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
      return systemDisk.read(path, limit);
    };
    const after = new Checkpoints(folder, folder, 1, { ...systemDisk, read });
    const said: string[] = [];
    const newest = await after.newest(configuration, ({ message }) => said.push(message));
    expect(newest?.step).toBe(3);
    expect(said).toEqual([
      expect.stringContaining('step-0000000009.safetensors'),
      `${broken} cannot be read: EIO: i/o error`,
    ]);
    for (const step of [10, 11]) await after.write(checkpointOf(step));
    expect((await readdir(directory)).toSorted()).toEqual(
      ['05', '09', '11'].map((step) => `step-00000000${step}.safetensors`),
    );
  });

  it('are used with --keep-best only if that of the best epoch is intact', async () => {
    const own = { ...configuration, keepBest: true, validationSamples: 2, minDelta: 0 } as const;
    const at = (step: number, best: number) => ({
      ...checkpointOf(step),
      configuration: own,
      judgement: { step, best: { step: best, loss: 1, link: 'cd'.repeat(32) }, waited: 0 },
    });
    const folder = temporaryFolder();
    const checkpoints = new Checkpoints(folder, folder, 3, systemDisk);
    for (const each of [at(2, 2), at(4, 4), at(6, 4)]) await checkpoints.write(each, 4);
    const newest = async (): Promise<[number | undefined, string[]]> => {
      const said: string[] = [];
      const found = await checkpoints.newest(own, ({ message }) => said.push(message));
      return [found?.step, said];
    };
    expect(await newest()).toEqual([6, []]);
    const best = join(folder, 'checkpoints', 'step-0000000004.safetensors');
    await writeFile(best, 'damaged');
    const needs = expect.stringContaining('needs the checkpoint of the best epoch (--keep-best)');
    expect(await newest()).toEqual([2, [needs, expect.stringContaining('step-0000000004')]]);
    await rm(best);
    expect(await newest()).toEqual([2, [needs]]);
  });

  it('are removed if they are damaged, instead of intact ones', async () => {
    const folder = temporaryFolder();
    const directory = join(folder, 'checkpoints');
    const before = new Checkpoints(folder, folder, 2, systemDisk);
    for (const step of [12, 15]) await before.write(checkpointOf(step));
    await writeFile(join(directory, 'step-0000000015.safetensors'), 'damaged');
    const after = new Checkpoints(folder, folder, 2, systemDisk);
    expect((await after.newest(configuration, () => undefined))?.step).toBe(12);
    await after.write(checkpointOf(20));
    expect((await readdir(directory)).toSorted()).toEqual([
      'step-0000000012.safetensors',
      'step-0000000020.safetensors',
    ]);
    await after.write(checkpointOf(25));
    expect(await readdir(directory)).toHaveLength(2);
  });

  it('include the one that is spared, even if it is old', async () => {
    const folder = temporaryFolder();
    const checkpoints = new Checkpoints(folder, folder, 1, systemDisk);
    const names = async () => (await readdir(join(folder, 'checkpoints'))).toSorted();
    for (const step of [1, 2, 3]) await checkpoints.write(checkpointOf(step), 1);
    expect(await names()).toEqual(['step-0000000001.safetensors', 'step-0000000003.safetensors']);
    expect(await checkpoints.weightsAt(1, configuration)).toEqual(checkpointOf(1).weights);
    await checkpoints.write(checkpointOf(4), 3);
    expect(await names()).toEqual(['step-0000000003.safetensors', 'step-0000000004.safetensors']);
    await expect(checkpoints.weightsAt(1, configuration)).rejects.toThrow(/cannot be read/);
  });

  it('are not removed by a coordinator that was taken over after it wrote one', async () => {
    const folder = temporaryFolder();
    const staging = join(folder, 'staging');
    await mkdir(staging);
    await new Checkpoints(folder, staging, 2, systemDisk).write(checkpointOf(1));
    const directory = join(folder, 'checkpoints');
    const syncDirectory = async (path: string) => {
      if (path === directory) await rm(staging, { recursive: true });
      return await systemDisk.syncDirectory(path);
    };
    await new Checkpoints(folder, staging, 1, { ...systemDisk, syncDirectory }).write(
      checkpointOf(2),
    );
    expect(await readdir(directory)).toHaveLength(2);
  });
});
