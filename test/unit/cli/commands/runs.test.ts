import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { listRuns, type RunOverview } from '../../../../cli/runs/run-overview.ts';
import { runs } from '../../../../cli/commands/runs.ts';
import { runsTable } from '../../../../cli/terminal/runs-table.ts';
import { colouredText, plainText } from '../../../../cli/terminal/styled-line.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { runRecordSchema, type RunRecord } from '../../../../shared/files/run-schema.ts';
import { makeUp } from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { captured } from '../../../fixtures/captured-output.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

/** A copy of the fixture run with changes to its record. */
async function run(name: string, change: Partial<RunRecord> = {}, until?: number): Promise<string> {
  const made = await makeUp({
    runs: join(folder, '.made'),
    ...(until === undefined ? {} : { until }),
  });
  const directory = join(folder, name);
  cpSync(made, directory, { recursive: true });
  const path = join(directory, 'run.json');
  const record = runRecordSchema.parse({
    ...JSON.parse(readFileSync(path, 'utf8')),
    run: name,
    ...change,
  });
  writeFileSync(path, JSON.stringify(record));
  return directory;
}

/** A run whose coordinator was killed, so that its end is not recorded. */
async function cutOff(name: string, events: readonly object[], until = 7): Promise<string> {
  const directory = await run(
    name,
    {
      state: 'running',
      step: 0,
      workers: [],
      engine: undefined,
      result: undefined,
      ended: undefined,
    },
    until,
  );
  writeFileSync(
    join(directory, 'events.jsonl'),
    events.map((event) => `${JSON.stringify(event)}\n`).join(''),
  );
  return directory;
}

async function only(): Promise<RunOverview> {
  const found = await listRuns(folder, Date.now());
  expect(found.unlisted).toEqual([]);
  expect(found.runs).toHaveLength(1);
  const [first] = found.runs;
  if (first === undefined) throw new Error('there is one');
  return first;
}

const at = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, '0')}.000Z`;

describe('a run', () => {
  test('that is finished shows the state, steps and accuracy in its record', async () => {
    const directory = await run('a', {
      workers: [
        { name: 'w0', samples: 9 },
        { name: 'w1', samples: 0 },
      ],
    });
    const { result } = runRecordSchema.parse(
      JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')),
    );
    expect(await only()).toMatchObject({
      directory,
      name: 'a',
      state: 'finished',
      writer: undefined,
      step: 12,
      steps: 12,
      workers: 1,
      engine: 'reference',
      dataset: 'unknown',
      evaluation: { set: 'test', accuracy: result?.test.accuracy, loss: result?.test.loss },
    });
  });

  test('that was resumed from an earlier step shows the step where it last ended', async () => {
    await run('a', { state: 'interrupted', step: 5 }, 7);
    expect(await only()).toMatchObject({ state: 'interrupted', step: 5, steps: 12 });
  });

  test('that was killed is listed as interrupted at its last step in metrics.jsonl', async () => {
    const directory = await cutOff('a', [
      { time: at(1), event: 'start', term: 1, step: 0 },
      { time: at(2), event: 'ready', worker: 'w0', engine: 'wasm' },
      { time: at(3), event: 'first_shard', worker: 'w0', step: 1 },
      { time: at(3), event: 'first_shard', worker: 'w1', step: 1 },
      { time: at(4), event: 'evaluation', step: 5, samples: 20, correct: 15, loss: 0.5 },
      { time: at(5), event: 'evaluation', step: 7, samples: 20, correct: 18, loss: 0.25 },
    ]);
    appendFileSync(join(directory, 'metrics.jsonl'), '{"kind":"step","step":8');
    const interrupted = { state: 'interrupted', writer: undefined, step: 7, steps: 12, seconds: 4 };
    expect(await only()).toMatchObject({
      ...interrupted,
      workers: 2,
      engine: 'wasm',
      evaluation: { set: 'test', accuracy: 0.9, loss: 0.25 },
    });
  });

  test('is listed as running while the process that holds its lock is running', async () => {
    const directory = await cutOff('a', [{ time: at(1), event: 'start', term: 1, step: 0 }]);
    writeFileSync(join(directory, 'lock.json'), JSON.stringify(systemProcesses.self()));
    const { runs: found } = await listRuns(folder, Date.parse(at(31)));
    expect(found).toMatchObject([
      { state: 'running', seconds: 30, writer: expect.stringContaining(String(process.pid)) },
    ]);
  });

  test('that was resumed shows the total duration of all its coordinators', async () => {
    await cutOff('a', [
      { time: at(1), event: 'start', term: 1, step: 0 },
      { time: at(5), event: 'checkpoint', step: 5 },
      { time: at(40), event: 'start', term: 2, step: 5 },
      { time: at(42), event: 'end', state: 'interrupted', step: 7 },
    ]);
    expect((await only()).seconds).toBe(6);
  });

  test('shows a duration that clock changes do not affect', async () => {
    await cutOff('a', [
      { time: at(1), elapsed: 0.5, event: 'start', term: 1, step: 0 },
      { time: at(86_400), elapsed: 3.5, event: 'checkpoint', step: 5 },
      { time: at(0), elapsed: 6.5, event: 'end', state: 'interrupted', step: 7 },
    ]);
    expect((await only()).seconds).toBe(6);
  });

  test('shows how long it waited for workers, and its largest number of workers', async () => {
    const w = (second: number, event: string, worker: string) => ({
      time: at(second),
      event,
      worker,
    });
    await cutOff('a', [
      { time: at(1), event: 'start', term: 1, step: 0 },
      { time: at(11), event: 'running', step: 0 },
      w(12, 'first_shard', 'a0'),
      w(12, 'first_shard', 'a1'),
      w(13, 'lost', 'a0'),
      w(13, 'lost', 'a1'),
      { time: at(13), event: 'waiting', step: 5 },
      { time: at(14), event: 'end', state: 'interrupted', step: 5 },
      { time: at(40), event: 'start', term: 2, step: 5 },
      { time: at(45), event: 'running', step: 5 },
      w(46, 'first_shard', 'b0'),
      w(46, 'first_shard', 'b1'),
      { time: at(50), event: 'checkpoint', step: 7 },
      // The time spent drawing the report does not count.
      { time: at(59), event: 'end', state: 'finished', step: 7 },
    ]);
    expect(await only()).toMatchObject({ seconds: 23, waited: 16, workers: 2 });
  });

  test('without steps or events is still listed', async () => {
    const directory = await cutOff('a', []);
    rmSync(join(directory, 'metrics.jsonl'));
    rmSync(join(directory, 'events.jsonl'));
    expect(await only()).toMatchObject({
      step: 0,
      seconds: 0,
      workers: 0,
      engine: undefined,
      evaluation: undefined,
    });
  });
});

describe('the list', () => {
  test('has the newest run first, and reports folders that are damaged or not runs', async () => {
    await run('old', { started: at(1) });
    await run('new', { started: at(3) });
    await run('middle', { started: at(2) });
    mkdirSync(join(folder, 'foreign'));
    const damaged = await run('damaged');
    writeFileSync(join(damaged, 'run.json'), '{"format":1}');
    writeFileSync(join(folder, 'a file'), '');
    const printed = captured();
    expect(await runs({ config: undefined, runsDir: folder, format: 'text' })).toBe(0);
    const lines = printed.out.trimEnd().split('\n');
    expect(lines.slice(1, 4).map((line) => line.split(' ')[0])).toEqual(['new', 'middle', 'old']);
    expect(lines.slice(4)).toEqual([
      '',
      expect.stringContaining(`${join(folder, 'damaged')}: run.json is not a run of format 1`),
      `${join(folder, 'foreign')}: not a run: run.json is missing`,
    ]);
  });

  test('can be printed as JSON', async () => {
    await run('a');
    mkdirSync(join(folder, 'foreign'));
    const expected = await listRuns(folder, Date.now());
    const printed = captured();
    await runs({ config: undefined, runsDir: folder, format: 'json' });
    expect(JSON.parse(printed.out)).toEqual(JSON.parse(JSON.stringify(expected)));
    expect(JSON.parse(printed.out)).toMatchObject({
      runs: [{ name: 'a', step: 12 }],
      unlisted: [{}],
    });
  });

  test('can be printed as CSV, and lists folders that are not runs on stderr', async () => {
    const directory = await run('a');
    await run('b', { state: 'interrupted', step: 5, result: undefined });
    mkdirSync(join(folder, 'foreign'));
    const printed = captured();
    await runs({ config: undefined, runsDir: folder, format: 'csv' });
    const [head = [], ...lines] = printed.out.split('\r\n').map((line) => line.split(','));
    expect(head.slice(0, 4)).toEqual(['run', 'directory', 'state', 'started']);
    const first = Object.fromEntries(
      head.map((name, i) => [name, lines.find(([run]) => run === 'a')?.[i]]),
    );
    const overview = (await listRuns(folder, Date.now())).runs.find(({ name }) => name === 'a');
    expect(first).toMatchObject({
      run: 'a',
      directory,
      state: 'finished',
      step: '12',
      steps: '12',
    });
    expect(Number(first['accuracy'])).toBe(overview?.evaluation?.accuracy);
    expect(lines.map((line) => line.length)).toEqual([13, 13, 1]);
    expect(printed.error).toBe(
      `mnist-dist: ${join(folder, 'foreign')}: not a run: run.json is missing\n`,
    );
  });

  test.each(['missing', '.'])(
    'for an empty or missing folder (%s) says how to train a run',
    async (where) => {
      const printed = captured();
      expect(await runs({ config: undefined, runsDir: join(folder, where), format: 'text' })).toBe(
        0,
      );
      expect(printed.out).toContain('no runs in');
      expect(printed.out).toContain('mnist-dist local');
    },
  );

  test('for a file is an error', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(listRuns(join(folder, 'file'), 0)).rejects.toMatchObject({ code: 'DATA' });
  });
});

describe('the table', () => {
  const overview: RunOverview = {
    directory: 'runs/20260102-030405-abcd',
    name: '20260102-030405-abcd',
    state: 'finished',
    writer: undefined,
    started: at(1),
    step: 9375,
    steps: 9375,
    seconds: 83,
    waited: undefined,
    firstLoss: undefined,
    workers: 2,
    evaluation: { set: 'test', accuracy: 0.9762, loss: 0.08 },
    engine: 'tensorflow',
    dataset: 'MNIST',
  };
  const interrupted: RunOverview = {
    ...overview,
    state: 'interrupted',
    step: 1200,
    evaluation: undefined,
    engine: undefined,
  };

  test('is aligned and shows the steps of unfinished runs', () => {
    expect(runsTable([overview, interrupted], Infinity).map(plainText)).toEqual([
      'run                   state                 steps  accuracy  time  workers  ' +
        'engine      dataset',
      '20260102-030405-abcd  finished              9,375   97.62 %  1:23        2  ' +
        'tensorflow  MNIST',
      '20260102-030405-abcd  interrupted  1,200 of 9,375         -  1:23        2  ' +
        '-           MNIST',
    ]);
  });

  test('fits the terminal and always keeps run, state and accuracy', () => {
    for (let width = 20; width < 120; width++) {
      const lines = runsTable([overview, interrupted], width).map(plainText);
      if (width >= 43)
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
      expect(lines[0]).toMatch(/^run +state .*accuracy/);
    }
    expect(plainText(runsTable([overview], 79)[0] ?? '')).toMatch(/time +workers +engine$/);
  });

  test('escapes control characters and shows states in colour', () => {
    const hostile = { ...overview, name: basename('\u001b[2J'), dataset: '\u0007' };
    const [, line = ''] = runsTable([hostile], 200).map(colouredText);
    expect(line).toContain('\\u{1b}[2J');
    expect(line).toContain('\\u{7}');
    expect(line).toContain('\u001b[32mfinished\u001b[0m');
  });
});
