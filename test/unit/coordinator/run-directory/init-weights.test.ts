import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parameterCount } from '../../../../shared/arithmetic/model-shape.ts';
import type { Configuration } from '../../../../shared/configuration.ts';
import { encodeInit, weightsDigest } from '../../../../shared/files/init-file.ts';
import { readModel } from '../../../../shared/files/model-file.ts';
import { silentViewer } from '../../../../coordinator/viewer.ts';
import { configuration as plain, makeUp, verifyMadeUp } from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const init = Float32Array.from({ length: parameterCount(plain.model) }, (_, i) => Math.sin(i));
const configuration: Configuration = { ...plain, init: weightsDigest(init) };

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
});

const begin = (more: object = {}) => makeUp({ runs, runId: 'r', configuration, init, ...more });
const resume = (more: object = {}) => makeUp({ runs, configuration, ...more });
const weightsOf = (run: string) => {
  const path = join(run, 'model.safetensors');
  return readModel(readFileSync(path), path).weights;
};

/** A run that was killed after step 7, before its first checkpoint. */
async function killed(): Promise<string> {
  const run = await begin({ until: 7, isKilled: true });
  rmSync(join(run, 'checkpoints'), { recursive: true });
  return run;
}

describe('a run with given weights', () => {
  it('begins with them, keeps them in init.safetensors, and is verified', async () => {
    const run = await begin();
    expect(await verifyMadeUp(run)).toMatchObject({ step: 12, model: true });
    expect(readFileSync(join(run, 'init.safetensors'))).toEqual(
      Buffer.from(encodeInit(plain.model, init)),
    );
    const drawn = await makeUp({ runs: temporaryFolder() });
    expect(weightsOf(run)).not.toEqual(weightsOf(drawn));
    const record = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8'));
    expect(record.configuration.init).toBe(configuration.init);
  });

  it('begins with them again after a crash before the first checkpoint', async () => {
    const run = await killed();
    await resume({ resume: run });
    expect(await verifyMadeUp(run)).toMatchObject({ step: 12 });
    expect(weightsOf(run)).toEqual(weightsOf(await makeUp({ runs, configuration, init })));
  });

  it('takes over a directory whose coordinator died before it wrote run.json', async () => {
    mkdirSync(join(runs, 'r'));
    writeFileSync(join(runs, 'r', 'init.safetensors'), 'of another start');
    expect(await verifyMadeUp(await begin())).toMatchObject({ step: 12 });
  });

  it('is verified from a checkpoint', async () => {
    const run = await begin({ until: 7 });
    await resume({ resume: run });
    expect(await verifyMadeUp(run, { from: 7 })).toMatchObject({ steps: 5, step: 12 });
  });

  const other = init.map((weight) => weight + 1);
  const missing = (path: string) => rmSync(path);
  const shortened = (path: string) => writeFileSync(path, readFileSync(path).subarray(0, -4));
  const changed = (path: string) => {
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(path, bytes);
  };
  const replaced = (path: string) => writeFileSync(path, encodeInit(plain.model, other));
  const foreign = (path: string) =>
    copyFileSync(join(path, '..', 'checkpoints', 'step-0000000007.safetensors'), path);
  const linked = (path: string) => {
    rmSync(path);
    symlinkSync('/dev/null', path);
  };

  it.each([
    [missing, 'init.safetensors is missing'],
    [shortened, 'is not an intact safetensors file'],
    [changed, 'has other weights than those that the run began with: SHA-256'],
    [replaced, `instead of ${weightsDigest(init).slice(0, 16)}`],
    [foreign, "does not have the tensors of the run's model"],
    [linked, 'it is a link, not a regular file'],
  ] as const)('does not begin or verify with a wrong file: %o', async (damage, message) => {
    const run = await begin({ until: 7 });
    damage(join(run, 'init.safetensors'));
    await expect(verifyMadeUp(run)).rejects.toMatchObject({
      code: 'DIFFERS',
      message: expect.stringContaining(message),
    });
    // A checkpoint replaces the initial weights.
    const warnings: string[] = [];
    const viewer = { ...silentViewer, log: (_: string, text: string) => void warnings.push(text) };
    await resume({ resume: run, until: 8, viewer });
    expect(warnings).toContainEqual(expect.stringContaining('verify cannot recompute this run'));
    const early = await killedLike(run);
    await expect(resume({ resume: early })).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining(message),
      fix: expect.stringContaining('restore the file'),
    });
  });

  /** A killed run without checkpoints that has the init.safetensors of another run. */
  async function killedLike(run: string): Promise<string> {
    rmSync(join(run, 'checkpoints'), { recursive: true });
    const path = join(run, 'run.json');
    const { ended: _, ...record } = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...record, state: 'running', step: 0 }));
    return run;
  }

  it('does not resume with another recipe', async () => {
    const run = await killed();
    await expect(makeUp({ runs, resume: run })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(`init unset instead of ${weightsDigest(init).slice(0, 16)}`),
    });
  });
});
