import dns, { type LookupAddress, type LookupOptions } from 'node:dns';
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { NameLookups } from '../../../../cli/processes/name-lookups.ts';
import { childrenOf } from '../../../fixtures/processes/children.ts';
import { until } from '../../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

interface Outcome {
  readonly error: unknown;
  readonly address?: string | LookupAddress[] | undefined;
  readonly family?: number | undefined;
}
type Lookup = NameLookups['lookup'];

async function outcome(lookup: Lookup, name: string, options: LookupOptions): Promise<Outcome> {
  return await new Promise((resolve) => {
    lookup(name, options, (error, address, family) =>
      resolve({
        error: error === null ? null : { ...error, text: error.message },
        address,
        family,
      }),
    );
  });
}

const inProcess: Lookup = (name, options, callback) => {
  if (typeof options === 'object' && callback !== undefined) dns.lookup(name, options, callback);
};

function program(text: string): string {
  const path = join(temporaryFolder(), 'program.mjs');
  writeFileSync(path, text);
  return path;
}

it.each<[string, LookupOptions]>([
  [hostname(), {}],
  [hostname(), { all: true, family: 4 }],
  ['localhost', { all: true }],
  ['127.0.0.1', {}],
  ['::1', { all: true }],
  ['no-such-name.invalid', { all: true }],
])('a child process answers like Node: %s %j', async (name, options) => {
  const lookups = new NameLookups();
  const answer = await outcome(lookups.lookup, name, options);
  expect(answer).toEqual(await outcome(inProcess, name, options));
});

it('looks a name up in this process if the child process cannot', async () => {
  const lookups = new NameLookups(program('process.exit(1)'));
  const answer = await outcome(lookups.lookup, hostname(), {});
  expect(answer).toEqual(await outcome(inProcess, hostname(), {}));
});

it('equal lookups share one child process, and the end of a command kills it', async () => {
  const before = new Set(childrenOf(process.pid).map(({ pid }) => pid));
  const own = () => childrenOf(process.pid).filter(({ pid }) => !before.has(pid));
  const lookups = new NameLookups(program('setInterval(() => undefined, 1000)'));
  const answers: unknown[] = [];
  for (let i = 0; i < 3; i++)
    lookups.lookup('gpu7.example.org', {}, (...answer) => void answers.push(answer));
  expect(own()).toHaveLength(1);
  lookups.end();
  await until(() => (own().length === 0 ? true : undefined));
  expect(answers).toEqual([]);
});
