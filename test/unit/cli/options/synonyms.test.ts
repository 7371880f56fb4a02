import { describe, expect, it } from 'vitest';
import { commandNames, commandSynonyms } from '../../../../cli/command-table.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { optionSynonyms } from '../../../../cli/options/synonyms.ts';
import { keysOf, namesOf } from '../../../../cli/options/options.ts';
import { ClusterError } from '../../../../shared/errors.ts';

function fix(line: string, environment: Record<string, string> = {}): string {
  try {
    parseCommand(line.split(' '), environment, '1.2.3');
  } catch (error) {
    if (error instanceof ClusterError) return error.fix ?? '';
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a word from another program', () => {
  it.each([
    ['train', 'did you mean local? '],
    ['Train --epochs 3', 'did you mean local? '],
    ['evaluate runs/a', 'did you mean eval? '],
    ['benchmark', 'did you mean bench? '],
    ['local --lr 0.1', 'did you mean --learning-rate? '],
    ['local --lr=0.1', 'did you mean --learning-rate? '],
    ['coordinator --batch_size 64', 'did you mean --batch-size? '],
    ['local --batchSize 64', 'did you mean --batch-size? '],
    ['local --nproc_per_node 4', 'did you mean --nproc-per-node? '],
    ['local --num-epochs 4', 'did you mean --epochs? '],
    ['local --no-cuda', 'did you mean --device cpu? '],
    ['local --gpu', 'did you mean --device cuda:0? --gpu is an option of setup. '],
    ['local --workers 4', 'did you mean --nproc-per-node? --workers is an option of bench. '],
    ['worker --lr 0.1', '--learning-rate is an option of local and coordinator. '],
    ['worker --no-dashboard', '--no-http is an option of local, coordinator and sweep. '],
    ['local --device gpu', 'did you mean cuda:0? '],
    ['local --device cuda', 'did you mean cuda:0? '],
    ['local --device GPU:1', 'did you mean cuda:1? '],
    ['local --device 2', 'did you mean cuda:2? '],
    ['local --engine tf', 'did you mean tensorflow? '],
    ['local -n gpus', 'did you mean gpu? '],
    ['local --log-level WARNING', 'did you mean warn? '],
    ['eval --split training', 'did you mean train? '],
  ])('gets a suggestion: %s', (line, answer) => {
    const said = fix(line);
    expect(said.slice(0, answer.length)).toBe(answer);
  });

  it("is never one of this program's commands, and every suggestion exists", () => {
    expect(
      Object.keys(commandSynonyms).filter((word) => commandNames.some((name) => name === word)),
    ).toEqual([]);
    const commands: readonly string[] = commandNames;
    expect(Object.values(commandSynonyms).filter((word) => !commands.includes(word))).toEqual([]);
    for (const suggested of new Set(Object.values(optionSynonyms))) {
      const [flag = '', ...value] = suggested.split(' ');
      const name = flag.replace(/^--(no-)?/, '');
      const command = commandNames.find((each) => keysOf(each).flatMap(namesOf).includes(name));
      expect(command, suggested).toBeDefined();
      if (value.length > 0 || flag.startsWith('--no-'))
        expect(
          () => parseCommand([command ?? '', flag, ...value], {}, '1.2.3'),
          suggested,
        ).not.toThrow();
    }
  });
});
