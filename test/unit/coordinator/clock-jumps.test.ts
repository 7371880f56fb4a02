import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readOverview } from '../../../cli/runs/run-overview.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { makeUp } from '../../fixtures/recorded-run.ts';

const DAY = 86_400_000;
const BEGIN = Date.UTC(2026, 0, 2);

/**
 * A clock that advances by one second with each reading. From reading number `from` on, its date is
 * off by `skew`.
 */
function clockThatJumps(skews: readonly (readonly [from: number, skew: number])[]) {
  let looks = 0;
  const skew = () => skews.findLast(([from]) => from <= looks)?.[1] ?? 0;
  return {
    now: () => 1_000 * looks++,
    date: () => new Date(BEGIN + 1_000 * looks + skew()),
  };
}

it.each([
  ['a day back', [[10, -DAY]]],
  ['a day forward', [[10, DAY]]],
  [
    'a day forward and back again',
    [
      [5, DAY],
      [15, 0],
    ],
  ],
  [
    'a day back just after the start',
    [
      [0, DAY],
      [4, 0],
    ],
  ],
] as const)(
  'a run whose clock jumps %s reports an end after its start, and its true duration',
  async (_, skews) => {
    const undisturbed = await makeUp({ runs: temporaryFolder(), clock: clockThatJumps([]) });
    const directory = await makeUp({ runs: temporaryFolder(), clock: clockThatJumps(skews) });
    const { started, ended } = JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8'));
    const secondsOf = async (path: string) => (await readOverview(path, 'r', 0)).seconds;
    const seconds = await secondsOf(directory);
    expect(seconds).toBe(await secondsOf(undisturbed));
    expect(seconds).toBeGreaterThan(10);
    expect(Date.parse(ended)).toBeGreaterThan(Date.parse(started));
  },
);

it.each(['2126-01-01T00:00:00Z', '9999-12-31T23:59:59Z'])(
  'a run whose record says that it started at %s can be resumed and finished',
  async (started) => {
    const runs = temporaryFolder();
    const clock = clockThatJumps([]);
    const resume = await makeUp({ runs, until: 7, clock });
    const path = join(resume, 'run.json');
    const record = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...record, started }));
    await makeUp({ runs, resume, clock });
    const { ended, state } = JSON.parse(readFileSync(path, 'utf8'));
    expect(state).toBe('finished');
    expect(Date.parse(ended)).toBeGreaterThan(Date.parse(started));
  },
);

it('a line of events.jsonl with an impossible time does not count', async () => {
  const directory = await makeUp({ runs: temporaryFolder(), clock: clockThatJumps([]) });
  const { seconds } = await readOverview(directory, 'r', 0);
  const line = { time: '2026-01-02T00:00:00Z', elapsed: 1e308, event: 'end' };
  writeFileSync(join(directory, 'events.jsonl'), `${JSON.stringify(line)}\n`, { flag: 'a' });
  expect((await readOverview(directory, 'r', 0)).seconds).toBe(seconds);
});
