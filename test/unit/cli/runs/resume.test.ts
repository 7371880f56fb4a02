import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { parseCommand } from '../../../../cli/program.ts';
import { adoptRun } from '../../../../cli/runs/resume.ts';
import { configurationRecord, type Configuration } from '../../../../shared/configuration.ts';
import { weightsDigest } from '../../../../shared/files/init-file.ts';
import { readModel } from '../../../../shared/files/model-file.ts';
import type { RunRecord } from '../../../../shared/files/run-schema.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { engineFixture } from '../../../fixtures/engine-identity.ts';
import { configuration, writeRun } from '../../../fixtures/model-file.ts';

let run: string;
beforeEach(() => {
  run = join(temporaryFolder(), 'r');
  mkdirSync(run);
});

const engine: NonNullable<RunRecord['engine']> = {
  description: { ...engineFixture, kind: 'wasm', device: 'cpu', threads: 3 },
  fingerprint: '0'.repeat(64),
  kernel_digest: '0'.repeat(64),
  reproducible: true,
};

async function resume(...flags: string[]) {
  const parsed = parseCommand(['local', '--resume', run, ...flags], {}, '1.2.3');
  if (parsed.command !== 'local') throw new Error(`parsed as ${parsed.command}`);
  return await adoptRun(parsed.options, parsed.explicit);
}

describe('a resumed run', () => {
  test('is resumed in its own directory, whose name it has, if a link leads to it', async () => {
    writeRun(run, { engine });
    const own = run;
    run = join(temporaryFolder(), 'latest');
    symlinkSync(own, run);
    expect(await resume()).toMatchObject({ resume: own });
    run += '/';
    expect(await resume()).toMatchObject({ resume: own });
  });

  test('keeps its engine, device and threads', async () => {
    writeRun(run, { engine });
    expect(await resume()).toMatchObject({ engine: 'wasm', device: 'cpu', threads: 3 });
    expect(await resume('--engine', 'auto', '--threads', '2')).toMatchObject({
      engine: 'wasm',
      threads: 2,
    });
    expect(await resume('--engine', 'wasm')).toMatchObject({ engine: 'wasm' });
  });

  test('rejects a different engine before anything is started, and identifies both', async () => {
    writeRun(run, { engine });
    await expect(resume('--engine', 'reference')).rejects.toMatchObject({
      code: 'USAGE',
      message: `the run ${run} has different settings: --engine wasm, not reference`,
    });
    await expect(resume('--device', 'cuda:1')).rejects.toMatchObject({
      message: `the run ${run} has different settings: --device cpu, not cuda:1`,
    });
    const onGpu = {
      ...engine,
      description: { ...engine.description, device: 'cuda:3 NVIDIA H100' },
    };
    writeRun(run, { engine: onGpu });
    await expect(resume('--device', 'cpu')).rejects.toMatchObject({
      message: `the run ${run} has different settings: --device cuda:3, not cpu`,
    });
    expect(await resume('--device', 'cuda:1')).toMatchObject({ device: 'cuda:1' });
    expect(await resume()).toMatchObject({ device: 'auto' });
  });

  test('accepts a different engine if none has computed yet, or if engines are mixed', async () => {
    writeRun(run);
    expect(await resume('--engine', 'reference')).toMatchObject({ engine: 'reference' });
    expect(await resume()).toMatchObject({ engine: 'auto' });
    writeRun(run, { engine, launch: { allow_mixed_engines: true } });
    expect(await resume('--engine', 'reference')).toMatchObject({ engine: 'reference' });
    expect(await resume()).toMatchObject({ engine: 'auto' });
  });

  test('takes the engine from its events if run.json has none', async () => {
    writeRun(run, { state: 'running' });
    const events = [
      { event: 'ready', worker: 'w0', engine: 'wasm', device: 'cpu' },
      { event: 'first_shard', worker: 'w0' },
    ];
    const lines = events.map(
      (event) => `${JSON.stringify({ time: '2026-01-01T00:00:00.000Z', ...event })}\n`,
    );
    writeFileSync(join(run, 'events.jsonl'), lines.join(''));
    expect(await resume('--threads', '2')).toMatchObject({
      engine: 'wasm',
      device: 'cpu',
      threads: 2,
    });
    expect(await resume('--engine', 'reference')).toMatchObject({ engine: 'reference' });
    expect(await resume('--allow-mixed-engines')).toMatchObject({ engine: 'auto' });
    // This engine is from a later version.
    writeFileSync(join(run, 'events.jsonl'), lines.join('').replace('wasm', 'quantum'));
    expect(await resume()).toMatchObject({ engine: 'auto' });
  });

  test('rejects all settings that differ, and states both values of each', async () => {
    writeRun(run);
    await expect(
      resume('--seed', '7', '--hidden', '2', '--batch-size', '64'),
    ).rejects.toMatchObject({
      code: 'USAGE',
      message: `the run ${run} has different settings: --batch-size 32, not 64; --seed 1, not 7`,
    });
  });

  test('keeps the weights that it began with', async () => {
    const own = join(run, 'model.safetensors');
    writeRun(run);
    const digest = weightsDigest(readModel(readFileSync(own), own).weights);
    await expect(resume('--init', own)).rejects.toMatchObject({
      code: 'USAGE',
      message:
        `the run ${run} has different settings: --init unset, not ${digest.slice(0, 16)} ` +
        `(${own})`,
    });
    writeRun(run, { configuration: configurationRecord({ ...configuration, init: digest }) });
    const file = join(run, 'given.safetensors');
    copyFileSync(own, file);
    expect(await resume('--init', file)).toMatchObject({ init: undefined });
    expect(await resume()).toMatchObject({ init: undefined });
    const began = 'ab'.repeat(32);
    writeRun(run, { configuration: configurationRecord({ ...configuration, init: began }) });
    await expect(resume('--init', file)).rejects.toMatchObject({
      message: expect.stringContaining(
        `--init ${began.slice(0, 16)}, not ${digest.slice(0, 16)} (${file})`,
      ),
    });
  });

  test('keeps its settings with another recipe, whose length does not count', async () => {
    const recipe: Configuration = {
      ...configuration,
      batchSize: 128,
      virtualShards: 8,
      optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      learningRate: 0.002,
      weightDecay: 0.004,
      schedule: { kind: 'cosine', final: 0, horizon: 900 },
      warmup: 200,
      labelSmoothing: 0.1,
      epochs: 99,
    };
    writeRun(run, { configuration: configurationRecord(recipe) });
    expect(await resume('--recipe', 'quickstart')).toMatchObject({ batchSize: 128, epochs: 99 });
    await expect(resume('--recipe', 'best')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(
        'has different settings: layer 1 of --model is flatten, not conv2d 32 3x3 relu',
      ),
      fix: expect.stringContaining('leave them and --recipe out'),
    });
    writeRun(run);
    await expect(resume('--recipe', 'best', '--model', 'mlp')).rejects.toMatchObject({
      message: expect.stringMatching(
        /--batch-size 32, not 128; --optimizer adam, not adamw; --learning-rate 0.001, not 0.002/,
      ),
    });
  });

  test('keeps its optimizer and its schedule, and the horizon if it is extended', async () => {
    const recipe: Configuration = {
      ...configuration,
      optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true },
      schedule: { kind: 'cosine', final: 0.1, horizon: 9375 },
      warmup: 1875,
    };
    writeRun(run, { configuration: configurationRecord(recipe) });
    const own = {
      optimizer: 'sgd',
      momentum: 0.9,
      nesterov: true,
      beta1: undefined,
      lrSchedule: 'cosine',
      lrHorizon: { steps: 9375 },
      warmup: { steps: 1875 },
    };
    expect(await resume('--epochs', '9')).toMatchObject({ ...own, epochs: 9 });
    // An epoch has 1875 steps.
    expect(await resume('--lr-horizon', '5epochs', '--warmup', '1epoch')).toMatchObject(own);
    await expect(
      resume('--lr-horizon', '9epochs', '--momentum', '0.5', '--optimizer', 'sgd'),
    ).rejects.toMatchObject({
      message:
        `the run ${run} has different settings: --momentum 0.9, not 0.5; ` +
        '--lr-horizon 9375, not 16875',
    });
    await expect(resume('--beta1', '0.9')).rejects.toMatchObject({
      message: `the run ${run} has different settings: --beta1 unset, not 0.9`,
    });
  });

  test('keeps its augmentation', async () => {
    const augment = { shift: 2, rotate: 10, zoom: 0 };
    writeRun(run, { configuration: configurationRecord({ ...configuration, augment }) });
    expect(await resume('--augment', 'rotate=10,shift=2')).toMatchObject({ augment });
    await expect(resume('--augment', 'off')).rejects.toMatchObject({
      message: `the run ${run} has different settings: --augment shift=2,rotate=10, not off`,
    });
    writeRun(run);
    await expect(resume('--augment', 'shift=1')).rejects.toMatchObject({
      message: `the run ${run} has different settings: --augment off, not shift=1`,
    });
  });
});
