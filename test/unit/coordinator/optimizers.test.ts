import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { learningRateOf } from '../../../shared/arithmetic/learning-rate.ts';
import type { Optimizer } from '../../../shared/arithmetic/optimizer.ts';
import type { Configuration } from '../../../shared/configuration.ts';
import { readMetrics } from '../../../shared/files/metrics.ts';
import { configuration, makeUp, verifyMadeUp } from '../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
const optimizers: readonly [string, Optimizer][] = [
  ['adam', { kind: 'adam', ...adam }],
  ['adamw', { kind: 'adamw', ...adam }],
  ['sgd', { kind: 'sgd', momentum: 0, nesterov: false }],
  ['sgd with momentum', { kind: 'sgd', momentum: 0.9, nesterov: false }],
  ["sgd with Nesterov's momentum", { kind: 'sgd', momentum: 0.9, nesterov: true }],
];

function recipeOf(optimizer: Optimizer): Configuration {
  return {
    ...configuration,
    optimizer,
    schedule: { kind: 'cosine', final: 0.1, horizon: 12 },
    warmup: 3,
    weightDecay: optimizer.kind === 'adam' ? 0 : 0.05,
    clipNorm: 0.5,
  };
}

const modelOf = (directory: string) =>
  readFileSync(join(directory, 'model.safetensors')).toString('hex');
const ratesOf = (directory: string) =>
  readMetrics(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')).lines.flatMap((line) =>
    line.kind === 'step' ? [line.learning_rate] : [],
  );

describe.each(optimizers)('a run with %s', (_, optimizer) => {
  const recipe = recipeOf(optimizer);

  it('has the same bytes if it is interrupted and resumed, and is verified', async () => {
    const whole = await makeUp({ runs: temporaryFolder(), configuration: recipe });
    const runs = temporaryFolder();
    const parts = await makeUp({ runs, configuration: recipe, until: 7 });
    await makeUp({ runs, resume: parts, configuration: recipe });
    expect(modelOf(parts)).toBe(modelOf(whole));
    expect(ratesOf(parts)).toEqual(ratesOf(whole));
    expect(await verifyMadeUp(parts)).toMatchObject({ steps: 12, model: true });
    expect(await verifyMadeUp(parts, { from: 9 })).toMatchObject({ steps: 5, model: true });
  });

  it('keeps the horizon of its schedule if it is extended', async () => {
    const runs = temporaryFolder();
    const longer = { ...recipe, steps: 20 };
    const whole = await makeUp({ runs: temporaryFolder(), configuration: longer });
    const extended = await makeUp({ runs, configuration: recipe });
    await makeUp({ runs, resume: extended, configuration: longer });
    expect(modelOf(extended)).toBe(modelOf(whole));
    const rates = ratesOf(extended);
    expect(rates).toEqual(Array.from({ length: 20 }, (__, i) => learningRateOf(recipe, i + 1)));
    expect(new Set(rates.slice(12))).toEqual(new Set([0.001]));
    expect(await verifyMadeUp(extended)).toMatchObject({ steps: 20 });
  });
});
