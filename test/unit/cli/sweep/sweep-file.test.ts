import { describe, expect, it } from 'vitest';
import { parseSweepFile } from '../../../../cli/sweep/sweep-file.ts';
import { planTrial } from '../../../../cli/sweep/planned-trial.ts';
import { textsOf } from '../../../../cli/sweep/sweep-record.ts';
import { trialsOf } from '../../../../cli/sweep/trials.ts';
import { ClusterError } from '../../../../shared/errors.ts';

function trials(text: string): string[] {
  return trialsOf(parseSweepFile(text, 's.yaml')).map(({ run, values }) =>
    [run, ...Object.entries(textsOf(values)).map((each) => each.join(' '))].join('; '),
  );
}

function refusal(text: string): string {
  try {
    const file = parseSweepFile(text, 's.yaml');
    for (const trial of trialsOf(file)) planTrial(file, trial);
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'USAGE')
      return `${error.message} | ${error.fix ?? ''}`;
    throw error;
  }
  throw new Error('accepted');
}

describe('a sweep file', () => {
  it('describes a grid, whose last option varies fastest', () => {
    const text = 'vary:\n  learning_rate: [1e-3]\n'.replace('learning_rate', 'learning-rate');
    expect(trials(`${text}  hidden: [[32], [64, 32]]\n  epochs: [1, 2]\n`)).toEqual([
      'trial-001; learning-rate 0.001; hidden 32; epochs 1',
      'trial-002; learning-rate 0.001; hidden 32; epochs 2',
      'trial-003; learning-rate 0.001; hidden 64,32; epochs 1',
      'trial-004; learning-rate 0.001; hidden 64,32; epochs 2',
    ]);
  });

  it('draws the same values for ever', () => {
    const vary =
      'vary:\n  learning-rate: {from: 1e-4, to: 0.03, scale: log}\n' +
      '  dropout: {from: 0, to: 0.5}\n  batch-size: [32, 64]\n  seed: {from: 1, to: 100}\n';
    const text = `search: random\ntrials: 3\nseed: 7\n${vary}`;
    const three = [
      'trial-001; learning-rate 0.00939; dropout 0.07322; batch-size 64; seed 11',
      'trial-002; learning-rate 0.006974; dropout 0.1485; batch-size 64; seed 48',
      'trial-003; learning-rate 0.0001361; dropout 0.492; batch-size 64; seed 7',
    ];
    expect(trials(text)).toEqual(three);
    expect(trials(text.replace('trials: 3', 'trials: 12')).slice(0, 3)).toEqual(three);
    expect(trials(text.replace('seed: 7', 'seed: 8'))[0]).not.toBe(three[0]);
  });

  it('draws whole numbers from both ends of a range', () => {
    const drawn = trials('search: random\ntrials: 99\nvary:\n  epochs: {from: 1, to: 3}\n');
    const found = new Set(drawn.map((each) => each.split('; ')[1]));
    expect([...found].toSorted()).toEqual(['epochs 1', 'epochs 2', 'epochs 3']);
  });

  it('gives each trial the options of all, and draws no pictures unless they are asked for', () => {
    const file = parseSweepFile('options: {epochs: 3}\nvary: {batch-size: [16]}\n', 's.yaml');
    const [trial] = trialsOf(file);
    if (trial === undefined) throw new Error('no trial');
    const { options } = planTrial(file, trial);
    expect(options).toMatchObject({ epochs: 3, batchSize: 16, virtualShards: 2, pictures: false });
  });

  it.each([
    ['', 's.yaml: the file is empty', 'search, options and vary'],
    ['- a', 's.yaml:1: not a map', ''],
    ['vari:\n  epochs: [1]', 's.yaml:1: the key "vari"', 'did you mean vary?'],
    ['vary:\n  epoch: [1]', 's.yaml:2: the key "epoch"', 'did you mean epochs?'],
    ['options: {epochs: 1}', 's.yaml: no option is varied', 'vary:'],
    ['vary:', 's.yaml:1: no option is varied', 'vary:'],
    ['vary: 3', 's.yaml:1: vary is not a map', ''],
    ['vary:\n  epochs: 3', 's.yaml:2: epochs has no list', '[A, B]'],
    ['vary:\n  epochs: []', 's.yaml:2: epochs has no list', ''],
    ['vary:\n  epochs: [1,\n   0]', 's.yaml:3: epochs: 0 is not allowed', '1 to 1000000'],
    ['vary:\n  epochs: [1, 1]', 's.yaml:2: epochs has 1 twice', 'keep one'],
    ['vary:\n  epochs: [{a: 1}]', 's.yaml:2: the value of epochs is nested', ''],
    ['vary:\n  engine: [wasm]', 's.yaml:2: engine is not an option of a trial', '--engine'],
    ['vary:\n  keep: [1, 2]', 's.yaml:2: keep cannot be varied', 'options'],
    ['options: {port: 1}\nvary: {epochs: [1]}', 's.yaml:1: port is not an option', 'epochs'],
    ['options: {epochs: x}\nvary: {seed: [1]}', 's.yaml:1: epochs: x is not allowed', 'whole'],
    ['options: {epochs: 1}\nvary: {epochs: [1]}', 's.yaml:2: epochs: the same option', ''],
    ['search: randm\nvary: {epochs: [1]}', 's.yaml:1: search: "randm"', 'did you mean random?'],
    ['search: random\nvary: {epochs: [1]}', 's.yaml:1: a random search needs', 'trials: 12'],
    ['trials: 3\nvary: {epochs: [1]}', 's.yaml:1: trials belongs to a random search', ''],
    ['search: random\ntrials: 0\nvary: {epochs: [1]}', 's.yaml:2: trials: 0', '1 to 999'],
    ['vary: {epochs: {from: 1, to: 2}}', 's.yaml:1: epochs: a grid has no values', '[0.001'],
    [
      `vary:\n  seed: [${Array.from({ length: 200 }, (_, i) => i).join()}]\n  epochs: [1,2,3,4,5]`,
      's.yaml: the grid has 1000 combinations, more than 999',
      'MAX_TRIALS',
    ],
    [
      'options: {optimizer: adam}\nvary:\n  momentum: [0.9]',
      's.yaml:3: momentum: 0.9 is not allowed (--momentum, together with s.yaml:1: optimizer',
      'sgd',
    ],
  ])('is refused with its line: %j', (text, message, fix) => {
    const shown = refusal(text);
    expect(shown).toContain(message);
    expect(shown).toContain(fix);
  });

  it.each([
    ['dropout: {from: 0.5, to: 0.1}', 'from 0.5 is not below to 0.1'],
    ['dropout: {from: 0, to: 0.5, scale: log}', 'from 0 has no logarithm'],
    ['dropout: {from: 0, to: 2}', 'dropout: 2 is not allowed'],
    ['dropout: {from: 0}', 'dropout has no "to"'],
    ['dropout: {from: 0, to: 0.5, scal: log}', 'dropout: the key "scal"'],
    ['dropout: {from: 0, to: 0.5, scale: lg}', 'dropout: scale: "lg"'],
    ['hidden: {from: "8,8", to: "9,9"}', '"8,8" is not a number'],
  ])('has ranges that make sense: %s', (line, message) => {
    expect(refusal(`search: random\ntrials: 2\nvary:\n  ${line}\n`)).toContain(message);
  });
});
