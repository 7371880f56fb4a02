import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { recipe } from '../../../../cli/commands/recipe.ts';
import { parseConfig } from '../../../../cli/options/config-file.ts';
import { withoutOptions, type Environment } from '../../../../cli/options/environment.ts';
import { keysOf } from '../../../../cli/options/options.ts';
import { recipeText } from '../../../../cli/options/recipe-file.ts';
import { recipeNames } from '../../../../cli/options/recipe-names.ts';
import { argumentsFor } from '../../../../cli/processes/child-arguments.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

function local(line: string, environment: Environment = {}) {
  const words = line.split(' ').filter((word) => word !== '');
  const parsed = parseCommand(['local', ...words], environment, '1.2.3');
  if (parsed.command !== 'local') throw new Error(`parsed as ${parsed.command}`);
  return parsed;
}

function refusalOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error;
  }
}

function fileWith(text: string): string {
  const file = join(temporaryFolder(), 'own.yaml');
  writeFileSync(file, text);
  return file;
}

const best = { model: 'convnet', batchSize: 128, optimizer: 'adamw', lrSchedule: 'cosine' };

describe('the recipes in the package', () => {
  test('are those that the option names', () => {
    const folder = fileURLToPath(new URL('../../../../recipes', import.meta.url));
    expect(readdirSync(folder).toSorted()).toEqual(
      recipeNames.map((name) => `${name}.yaml`).toSorted(),
    );
  });

  test.each(recipeNames)('are files that --config accepts: %s', (name) => {
    const file = fileWith(recipeText(name));
    const { options, explicit } = local(`--config ${file}`);
    const { config: _, recipe: __, ...own } = options;
    const { config: ___, recipe: ____, ...named } = local(`--recipe ${name}`).options;
    // The file's model may have a name that the default leaves out.
    expect({ ...own, model: own.model ?? 'mlp' }).toEqual({
      ...named,
      model: named.model ?? 'mlp',
    });
    expect([...explicit].length).toBe(1 + parseConfig(recipeText(name), name).size);
  });

  test('quickstart is the default, and changes nothing', () => {
    expect(local('--recipe quickstart').options).toEqual(local('').options);
    const withSgd = local('--recipe quickstart --optimizer sgd').options;
    expect(withSgd).toEqual(local('--optimizer sgd').options);
    expect(local('--recipe quickstart --model convnet').options.model).toBe('convnet');
  });

  test('best trains a convolutional network', () => {
    expect(local('--recipe best').options).toMatchObject({
      ...best,
      virtualShards: 8,
      weightDecay: 0.01,
      warmup: { steps: 200 },
      augment: { shift: 2, rotate: 10, zoom: 0.1 },
      validationSplit: 0.1,
      keepBest: true,
    });
  });
});

describe('--recipe', () => {
  test('is overridden by the file, variables and flags, in this order', () => {
    const file = fileWith('batch-size: 16\nepochs: 3\nseed: 4\n');
    const { options } = local(`--recipe best --config ${file} --seed 6`, {
      MNIST_DIST_EPOCHS: '7',
      MNIST_DIST_SEED: '5',
    });
    expect(options).toMatchObject({ model: 'convnet', batchSize: 16, epochs: 7, seed: 6 });
  });

  test('may be given by a file or a variable, which other commands ignore', () => {
    const file = fileWith('recipe: best\nbatch-size: 64\n');
    expect(local(`--config ${file}`).options).toMatchObject({ ...best, batchSize: 64 });
    expect(local('', { MNIST_DIST_RECIPE: 'best' }).options).toMatchObject(best);
    const worker = parseCommand(['worker', '--config', file], {}, '1.2.3');
    expect(worker.command).toBe('worker');
    const predict = parseCommand(['predict', 'x.png', '--config', file], {}, '1.2.3');
    expect(predict).toMatchObject({ options: { model: undefined } });
  });

  test('makes its settings explicit for a resumed run, except its length', () => {
    const { explicit } = local('--recipe best');
    expect(explicit.has('batchSize')).toBe(true);
    expect(explicit.has('epochs')).toBe(false);
    expect(local('--recipe best --epochs 9').explicit.has('epochs')).toBe(true);
  });

  test('is suggested by its nearest name', () => {
    expect(refusalOf(() => local('--recipe bst'))).toMatchObject({
      message: expect.stringContaining('--recipe bst is not allowed'),
      fix: 'did you mean best? Allowed: quickstart, best',
    });
  });

  test('stands in the error for a setting that another option excludes', () => {
    expect(refusalOf(() => local('--recipe best --hidden 64'))).toMatchObject({
      message: '--hidden 64 is not allowed (only for the model mlp)',
      fix: 'remove it: --recipe best:2: model: convnet describes all of its layers',
    });
  });

  test('reaches the coordinator as the values of its settings only', () => {
    const { options } = local('--recipe best --model mlp');
    const args = argumentsFor('coordinator', options);
    expect(args.filter((word) => word.startsWith('--recipe'))).toEqual([]);
    expect(args).toEqual(expect.arrayContaining(['--batch-size=128', '--model=mlp']));
    const environment = {
      MNIST_DIST_RECIPE: 'best',
      MNIST_DIST_MODEL: 'convnet',
      MNIST_DIST_CONFIG: 'own.yaml',
      MNIST_DIST_TOKEN: 'secret',
      MNIST_DIST_ANNOUNCE: '1',
      PATH: '/bin',
    };
    expect(withoutOptions(keysOf('local'), environment)).toEqual({
      MNIST_DIST_TOKEN: 'secret',
      MNIST_DIST_ANNOUNCE: '1',
      PATH: '/bin',
    });
  });
});

describe('mnist-dist recipe', () => {
  test('suggests the nearest name', () => {
    expect(refusalOf(() => recipe({ operands: ['quikstart'] }))).toMatchObject({
      code: 'USAGE',
      message: 'there is no recipe quikstart',
      fix: 'did you mean quickstart? Allowed: quickstart, best',
    });
  });
});
