import { describe, expect, test } from 'vitest';
import { argumentsFor } from '../../../../cli/processes/child-arguments.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { updateOf, updateOptions } from '../../../../cli/runs/recipe-options.ts';
import { configurationOf } from '../../../../cli/runs/run-settings.ts';
import { canonicalRecipe, configurationSchema } from '../../../../shared/configuration.ts';
import { dataset } from '../../../fixtures/recorded-run.ts';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';

const model = denseModel([1, 6], [2], 0, 10);

const length = { stepsPerEpoch: 100, totalSteps: 500 };

function optionsOf(line: string) {
  const parsed = parseCommand(['coordinator', ...line.split(' ')], {}, '1.2.3');
  if (parsed.command !== 'coordinator') throw new Error(`parsed as ${parsed.command}`);
  return parsed.options;
}

const recipes = [
  '--optimizer adam',
  '--optimizer adamw --weight-decay 0.1 --beta1 0.8 --epsilon 1e-8 --clip-norm 1',
  '--optimizer sgd --learning-rate 0.1 --momentum 0.9 --nesterov --weight-decay 0.01',
  '--optimizer sgd --warmup 20 --label-smoothing 0.1',
  '--lr-schedule step --lr-decay 0.5 --lr-decay-every 2epochs',
  '--lr-schedule exponential --lr-decay-every 30 --warmup 0.5epochs',
  '--lr-schedule cosine --lr-final 0.1',
  '--lr-schedule cosine --lr-horizon 20epochs --warmup 1epoch',
  '--lr-schedule piecewise --lr-boundaries 50,2epochs --lr-rates 0.1,0.01',
  '--augment shift=2,rotate=10,zoom=0.1',
];

describe('the recipe of the default options', () => {
  test('has the settings of arithmetic 2 and no others, so that its bytes stay the same', () => {
    const recipe = canonicalRecipe(configurationOf(optionsOf('--seed 1'), model, dataset));
    const start = `{"batch_size":32,"dataset":"${dataset.digest}","learning_rate":0.001,"model":{`;
    expect(recipe.slice(0, start.length)).toBe(start);
    expect(recipe.slice(recipe.indexOf('},"optimizer"'))).toBe(
      '},"optimizer":{"beta1":0.9,"beta2":0.999,"epsilon":1e-7,"kind":"adam"},' +
        '"schedule":{"kind":"constant"},"seed":1,"test_samples":20,"train_samples":40,' +
        '"virtual_shards":4,"warmup":0,"weight_decay":0}',
    );
  });
});

describe('the update of a recipe', () => {
  test('has numbers of epochs as numbers of steps', () => {
    const updates = recipes.map((line) => updateOf(optionsOf(line), length));
    expect(updates.map(({ schedule, warmup }) => [schedule, warmup])).toEqual([
      [{ kind: 'constant' }, 0],
      [{ kind: 'constant' }, 0],
      [{ kind: 'constant' }, 0],
      [{ kind: 'constant' }, 20],
      [{ kind: 'step', decay: 0.5, every: 200 }, 0],
      [{ kind: 'exponential', decay: 0.7, every: 30 }, 50],
      [{ kind: 'cosine', final: 0.1, horizon: 500 }, 0],
      [{ kind: 'cosine', final: 0, horizon: 2000 }, 100],
      [{ kind: 'piecewise', boundaries: [50, 200], rates: [0.1, 0.01] }, 0],
      [{ kind: 'constant' }, 0],
    ]);
    expect(updates.map(({ optimizer }) => optimizer)).toMatchObject([
      { kind: 'adam', beta1: 0.9 },
      { kind: 'adamw', beta1: 0.8, epsilon: 1e-8 },
      { kind: 'sgd', momentum: 0.9, nesterov: true },
      { kind: 'sgd', momentum: 0, nesterov: false },
      ...Array.from({ length: 6 }, () => ({ kind: 'adam' })),
    ]);
  });

  test.each(recipes)('survives the way through options and a child process: %s', (line) => {
    const update = updateOf(optionsOf(line), length);
    const configuration = configurationSchema.parse({
      ...configurationOf(optionsOf('--batch-size 8'), model, dataset),
      ...update,
    });
    const options = { ...optionsOf('--seed 1'), ...updateOptions(configuration) };
    expect(updateOf(options, { stepsPerEpoch: 7, totalSteps: 9 })).toEqual(update);
    const child = argumentsFor('coordinator', options);
    expect(updateOf(optionsOf(child.slice(1).join(' ')), length)).toEqual(update);
  });

  test('takes the length of the run as its horizon', () => {
    const horizonOf = (line: string) =>
      configurationOf(optionsOf(`--batch-size 8 --lr-schedule cosine ${line}`), model, dataset)
        .schedule;
    // The dataset has 40 samples: 5 steps per epoch.
    expect(horizonOf('--epochs 3')).toMatchObject({ horizon: 15 });
    expect(horizonOf('--steps 7')).toMatchObject({ horizon: 7 });
    expect(horizonOf('--epochs 3 --lr-horizon 10epochs')).toMatchObject({ horizon: 50 });
  });

  test('has an augmentation only if there is one', () => {
    const augment = { shift: 0, rotate: 10, zoom: 0 };
    expect(updateOf(optionsOf('--augment rotate=10'), length)).toMatchObject({ augment });
    for (const line of ['--seed 1', '--augment off', '--augment shift=0'])
      expect(updateOf(optionsOf(line), length)).not.toHaveProperty('augment');
  });

  test('is rejected if it augments images that are too large', () => {
    const wide = denseModel([1, 4097], [2], 0, 10);
    const options = optionsOf('--augment shift=2,rotate=10');
    expect(() => configurationOf(options, wide, dataset)).toThrow(
      expect.objectContaining({
        code: 'LIMIT',
        message: expect.stringContaining('--augment shift=2,rotate=10 does not work for images of'),
      }),
    );
    expect(configurationOf(optionsOf('--seed 1'), wide, dataset).augment).toBeUndefined();
  });

  test('is rejected if epsilon is 0 or subnormal in float32, but read from older files', () => {
    for (const epsilon of [1e-46, 1e-38, 1.17549428e-38]) {
      const refused = { code: 'USAGE', fix: expect.stringContaining('at least 2^-126') };
      expect(() => optionsOf(`--epsilon ${epsilon}`)).toThrow(expect.objectContaining(refused));
      const options = { ...optionsOf('--seed 1'), epsilon };
      expect(() => configurationOf(options, model, dataset)).toThrow('at least 2^-126');
      const known = configurationOf(optionsOf('--seed 1'), model, dataset);
      const optimizer = { ...known.optimizer, epsilon };
      expect(configurationSchema.safeParse({ ...known, optimizer }).success).toBe(true);
    }
    for (const epsilon of [2 ** -126, 1.1754943508222875e-38, 1])
      expect(optionsOf(`--epsilon ${epsilon}`)).toMatchObject({ epsilon });
  });

  test('is rejected if its steps do not fit together', () => {
    const refusal = (line: string) => {
      try {
        return updateOf(optionsOf(line), length);
      } catch (error) {
        return error;
      }
    };
    expect(refusal('--lr-schedule cosine --warmup 5epochs')).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('the warmup of 500 steps (--warmup) does not end before'),
      fix: 'allowed: --warmup from 0 to 499, or a larger --lr-horizon',
    });
    const pieces = '--lr-schedule piecewise --lr-boundaries 300,2epochs --lr-rates 0.1,0.01';
    expect(refusal(pieces)).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('do not increase: 300, 200 steps'),
    });
    const long = { stepsPerEpoch: 60_000, totalSteps: 1 };
    expect(() => updateOf(optionsOf('--warmup 1000000epochs'), long)).toThrow(
      '--warmup 1000000epochs is 60000000000 steps',
    );
  });
});
