import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseCommand } from '../../../../cli/program.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

function optionsOf(line: string, environment: Readonly<Record<string, string>> = {}) {
  const flags = line.split(' ').filter((word) => word !== '');
  const parsed = parseCommand(['coordinator', ...flags], environment, '1.2.3');
  if (parsed.command !== 'coordinator') throw new Error(`parsed as ${parsed.command}`);
  return parsed.options;
}

function refusalOf(line: string, environment: Readonly<Record<string, string>> = {}): unknown {
  try {
    optionsOf(line, environment);
  } catch (error) {
    return error;
  }
  return 'accepted';
}

describe('the defaults of a recipe', () => {
  test('are those of Keras for the chosen optimizer', () => {
    expect(optionsOf('--optimizer adamw')).toMatchObject({
      learningRate: 0.001,
      beta1: 0.9,
      weightDecay: 0.004,
      momentum: undefined,
    });
    expect(optionsOf('--optimizer sgd')).toMatchObject({
      learningRate: 0.01,
      momentum: 0,
      weightDecay: 0,
      beta1: undefined,
      beta2: undefined,
      epsilon: undefined,
    });
  });

  test('exist only for the chosen schedule', () => {
    const falling = { lrDecay: 0.7, lrDecayEvery: { epochs: 1 }, lrFinal: undefined };
    expect(optionsOf('--lr-schedule step')).toMatchObject(falling);
    expect(optionsOf('--lr-schedule exponential')).toMatchObject(falling);
    expect(optionsOf('--lr-schedule cosine')).toMatchObject({
      lrFinal: 0,
      lrDecay: undefined,
      lrHorizon: undefined,
    });
  });

  test.each([
    ['--warmup 500', { warmup: { steps: 500 } }],
    ['--warmup=2epochs', { warmup: { epochs: 2 } }],
    ['--warmup=0.5epochs', { warmup: { epochs: 0.5 } }],
    ['--warmup=1epoch', { warmup: { epochs: 1 } }],
    ['--warmup=0epochs', { warmup: { steps: 0 } }],
    ['--lr-schedule cosine --lr-horizon 3epochs', { lrHorizon: { epochs: 3 } }],
    ['--augment shift=2', { augment: { shift: 2, rotate: 0, zoom: 0 } }],
    [
      '--augment zoom=0.1,shift=0.5,rotate=180',
      { augment: { shift: 0.5, rotate: 180, zoom: 0.1 } },
    ],
    ['--augment off', { augment: { shift: 0, rotate: 0, zoom: 0 } }],
    [
      '--lr-schedule piecewise --lr-boundaries 500,2epochs --lr-rates 0.1,1e-3',
      { lrBoundaries: [{ steps: 500 }, { epochs: 2 }], lrRates: [0.1, 0.001] },
    ],
  ])('are replaced by %s', (line, expected) => {
    expect(optionsOf(line)).toMatchObject(expected);
  });
});

describe('an option that does not belong to the recipe is rejected, with a way out:', () => {
  test.each([
    [
      '--momentum 0.9',
      '--momentum 0.9 is not allowed (together with --optimizer adam (the default))',
      'leave it out, or set --optimizer sgd',
    ],
    [
      '--optimizer sgd --beta1 0.8',
      '--beta1 0.8 is not allowed (together with --optimizer sgd)',
      'leave it out, or set --optimizer adam or adamw',
    ],
    [
      '--optimizer sgd --nesterov',
      '--nesterov is not allowed (it needs momentum)',
      'set --optimizer sgd and a --momentum above 0, such as 0.9',
    ],
    [
      '--weight-decay 0.1',
      '--weight-decay 0.1 is not allowed (together with --optimizer adam (the default))',
      'use --optimizer adamw or sgd',
    ],
    [
      '--lr-decay 0.5',
      '--lr-decay 0.5 is not allowed (together with --lr-schedule constant (the default))',
      'leave it out, or set --lr-schedule step or exponential',
    ],
    [
      '--lr-schedule step --lr-horizon 500',
      '--lr-horizon 500 is not allowed (together with --lr-schedule step)',
      'leave it out, or set --lr-schedule cosine',
    ],
    [
      '--lr-schedule piecewise --lr-rates 0.1',
      '--lr-schedule piecewise is not allowed (without --lr-boundaries)',
      'such as --lr-boundaries 2epochs,4epochs --lr-rates 0.0005,0.0001',
    ],
    [
      '--lr-schedule piecewise --lr-boundaries 5,6 --lr-rates 0.1',
      '--lr-rates 0.1 is not allowed (1 rate for --lr-boundaries 5,6)',
      'set one rate for each boundary',
    ],
  ])('%s', (line, message, fix) => {
    expect(refusalOf(line)).toMatchObject({ code: 'USAGE', message, fix });
  });

  test('from the environment and from a file, which the message names', () => {
    expect(refusalOf('', { MNIST_DIST_MOMENTUM: '0.9' })).toMatchObject({
      message:
        'MNIST_DIST_MOMENTUM=0.9 is not allowed (--momentum, together with --optimizer adam ' +
        '(the default))',
    });
    const file = join(temporaryFolder(), 'recipe.yaml');
    writeFileSync(file, 'optimizer: sgd\nlr-schedule: cosine\nlr-rates: [0.1, 0.01]\n');
    expect(refusalOf(`--config ${file}`)).toMatchObject({
      message: expect.stringContaining('recipe.yaml:3: lr-rates: 0.1,0.01 is not allowed'),
    });
  });
});

test('an augmentation in a file may be a list', () => {
  const file = join(temporaryFolder(), 'recipe.yaml');
  writeFileSync(file, 'augment: [shift=2, zoom=0.1]\n');
  const augment = { shift: 2, rotate: 0, zoom: 0.1 };
  expect(optionsOf(`--config ${file}`)).toMatchObject({ augment });
  writeFileSync(file, 'augment: shift=20\n');
  expect(refusalOf(`--config ${file}`)).toMatchObject({
    message: expect.stringContaining('recipe.yaml:1: augment: shift=20 is not allowed'),
  });
});

describe('a value that is not allowed is rejected:', () => {
  test.each([
    ['--optimizer adamww', 'did you mean adamw?'],
    ['--optimizer rmsprop', 'allowed: adam, adamw, sgd'],
    ['--optimizer momentum', 'did you mean sgd?'],
    ['--optimizer sgd --momentum 1', 'allowed: a number of at least 0 and below 1'],
    ['--optimizer adamw --weight-decay -0.1', 'allowed: a number from 0 to 100'],
    ['--optimizer adamw --weight-decay NaN', 'allowed: a number from 0 to 100'],
    ['--label-smoothing 1', 'allowed: a number of at least 0 and below 1'],
    ['--clip-norm 0', 'allowed: a number above 0, at most 1e6'],
    ['--clip-norm Infinity', 'allowed: a number above 0, at most 1e6'],
    [
      '--augment shift=9',
      'allowed: shift from 0 to 8 pixels, rotate from 0 to 180 degrees and zoom',
    ],
    ['--augment rotate=180.1', 'allowed: shift from 0 to 8 pixels'],
    ['--augment zoom=-0.1', 'allowed: shift from 0 to 8 pixels'],
    ['--augment zoom=0.1,zoom=0.1', 'allowed: shift from 0 to 8 pixels'],
    ['--augment shift=2,', 'allowed: shift from 0 to 8 pixels'],
    ['--augment shift', 'allowed: shift from 0 to 8 pixels'],
    ['--augment 2', 'such as shift=2,rotate=10,zoom=0.1; or off'],
    ['--augment shif=2,rotate=10', 'did you mean shift=2,rotate=10? Allowed: shift from 0'],
    ['--augment translate=2,rotation=10', 'did you mean shift=2,rotate=10?'],
    ['--augment flip=1', 'allowed: shift from 0 to 8 pixels'],
    ['--augment false', 'did you mean off?'],
    ['--augment of', 'did you mean off?'],
    ['--lr-schedule cosin', 'did you mean cosine?'],
    ['--lr-schedule multistep', 'did you mean piecewise?'],
    ['--warmup 2e3', 'allowed: a whole number of steps from 0'],
    ['--warmup -1', 'allowed: a whole number of steps from 0'],
    ['--warmup 9999999epochs', 'allowed: a whole number of steps from 0'],
    ['--warmup 4294967296', 'allowed: a whole number of steps from 0'],
    ['--lr-schedule cosine --lr-horizon 0', 'allowed: a whole number of steps from 1'],
    ['--lr-schedule cosine --lr-horizon 0epochs', 'allowed: a whole number of steps from 1'],
    ['--lr-schedule cosine --lr-final 1.5', 'allowed: a number from 0 to 1'],
    ['--lr-schedule step --lr-decay 0', 'allowed: a number above 0, at most 1'],
    ['--lr-schedule piecewise --lr-boundaries 5,,6', 'allowed: 1 to 64 increasing numbers'],
    ['--lr-schedule piecewise --lr-rates 0.1,0', 'allowed: 1 to 64 numbers above 0'],
    [`--lr-rates ${Array.from({ length: 65 }, () => '1').join(',')}`, 'allowed: 1 to 64 numbers'],
  ])('%s', (line, fix) => {
    expect(refusalOf(line)).toMatchObject({ code: 'USAGE', fix: expect.stringContaining(fix) });
  });

  test('with the word that other programs use', () => {
    expect(refusalOf('--gamma 0.5')).toMatchObject({ fix: expect.stringContaining('--lr-decay') });
    expect(refusalOf('--rotation-range 10')).toMatchObject({
      fix: expect.stringContaining('--augment'),
    });
    expect(refusalOf('--max-grad-norm 1')).toMatchObject({
      fix: expect.stringContaining('--clip-norm'),
    });
  });
});
