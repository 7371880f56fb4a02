import { describe, expect, it } from 'vitest';
import type { BoardRun, BoardView } from '../../../../dashboards/board/api.ts';
import { MAX_CHOSEN } from '../../../../dashboards/page/board/board-limits.ts';
import { BoardState, lookOf } from '../../../../dashboards/page/board/board-state.ts';
import {
  columnsOf,
  searchText,
  sorted,
  summaryOf,
} from '../../../../dashboards/page/board/columns.ts';

const run = (name: string, change: Partial<BoardRun> = {}): BoardRun => ({
  name,
  state: 'finished',
  started: '2026-03-14T09:26:53.000Z',
  step: 10,
  steps: 10,
  stepsPerEpoch: 5,
  model: '784 - 128 - 10',
  dataset: 'MNIST',
  evaluation: undefined,
  seconds: 3,
  stepsPerSecond: undefined,
  workers: 2,
  engine: 'wasm',
  settings: ['1'],
  curve: name,
  hasReport: false,
  ...change,
});

const view = (runs: BoardRun[]): BoardView => ({
  folder: 'runs',
  at: 0,
  runs,
  settings: ['seed'],
  unlisted: [],
  pending: 0,
  omitted: 0,
});

const many = Array.from({ length: 30 }, (_, index) => run(`r${index}`));

describe("the board's table", () => {
  it('sorts settings as numbers, and runs without a value last in both directions', () => {
    const runs = [
      run('a', { settings: ['10'] }),
      run('b', { settings: [null] }),
      run('c', { settings: ['9'] }),
    ];
    const columns = columnsOf(view(runs));
    const order = (key: string, isDescending: boolean) =>
      sorted(runs, columns, { key, isDescending }).map(({ name }) => name);
    expect(order('setting seed', false)).toEqual(['c', 'a', 'b']);
    expect(order('setting seed', true)).toEqual(['a', 'c', 'b']);
    expect(order('run', true)).toEqual(['c', 'b', 'a']);
    expect(order('accuracy', true)).toEqual(['a', 'b', 'c']);
  });

  it('finds a run by its name, its state, its model and its settings', () => {
    const text = searchText(run('First', { settings: ['7'] }), view([]));
    for (const word of ['first', 'finished', '784 - 128', 'mnist', 'seed=7'])
      expect(text, word).toContain(word);
  });

  it('says how many runs there are, and what it leaves out', () => {
    const shown = {
      ...view([run('a'), run('b', { state: 'running' })]),
      pending: 3,
      omitted: 1200,
    };
    expect(summaryOf(shown)).toBe(
      '2 runs, 1 running, 3 not read yet, 1,200 older folders left out',
    );
  });
});

describe('the chosen runs', () => {
  it('are the newest at first, or those in the address', () => {
    const newest = new BoardState();
    newest.take(view(many), []);
    expect(newest.chosen.map((each) => each.run.name)).toEqual(['r0', 'r1', 'r2', 'r3']);
    const named = new BoardState();
    named.take(view(many), ['r7', 'gone', 'r5']);
    expect(named.chosen.map((each) => each.run.name)).toEqual(['r7', 'r5']);
  });

  it('are chosen once the first run has a step, and not again after that', () => {
    const state = new BoardState();
    state.take(view([run('new', { step: 0 })]), []);
    expect(state.chosen).toEqual([]);
    state.take(view([run('new', { step: 1 })]), []);
    expect(state.chosen.map((each) => each.run.name)).toEqual(['new']);
    state.dropAll();
    state.take(view([run('new', { step: 2 })]), []);
    expect(state.chosen).toEqual([]);
  });

  it('keep their colours when others are dropped, and are limited in number', () => {
    const state = new BoardState();
    state.take(view(many), []);
    state.drop('r1');
    state.choose('r9');
    expect([state.slotOf('r2'), state.slotOf('r9')]).toEqual([2, 1]);
    for (const { name } of many) state.choose(name);
    expect(state.chosen).toHaveLength(MAX_CHOSEN);
    const looks = state.chosen.map(({ slot }) => JSON.stringify(lookOf(slot)));
    expect(new Set(looks).size).toBe(MAX_CHOSEN);
  });

  it('do not contain a run whose folder has vanished', () => {
    const state = new BoardState();
    state.take(view(many), []);
    state.take(view(many.slice(2)), []);
    expect(state.chosen.map((each) => each.run.name)).toEqual(['r2', 'r3']);
  });
});
