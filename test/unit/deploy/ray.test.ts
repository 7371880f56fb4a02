import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { CommandName } from '../../../cli/options/options.ts';
import { keysOf, namesOf } from '../../../cli/options/options.ts';
import { errorTable } from '../../../shared/errors.ts';
import { whyMissing } from '../../fixtures/processes/installed.ts';

const missing = whyMissing(['python3', 'setpriv']);
const why = missing === undefined ? '' : `: ${missing}`;
const read = (name: string) =>
  readFileSync(new URL(`../../../deploy/ray/${name}`, import.meta.url), 'utf8');
const flagsOf = (command: CommandName) =>
  keysOf(command).flatMap((key) => namesOf(key).map((name) => `--${name}`));
const exitCodes: readonly number[] = Object.values(errorTable).map(({ exit }) => exit);

describe('deploy/ray', () => {
  it.skipIf(missing !== undefined)(`passes its tests in Python${why}`, () => {
    const tests = fileURLToPath(new URL('ray.test.py', import.meta.url));
    const { status, stderr } = spawnSync('python3', ['-B', tests], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
  });

  it('passes on only options that exist', () => {
    const known = ['coordinator', 'worker', 'certs'] as const;
    const flags = new Set(known.flatMap(flagsOf));
    const used = [...read('process.py').matchAll(/"(--[a-z][\w-]*)"/g)].map(([, flag]) => flag);
    expect(used.length).toBeGreaterThan(10);
    // The first one is an option of setpriv.
    expect(used.filter((flag) => flag !== '--pdeathsig' && !flags.has(flag ?? ''))).toEqual([]);
    const [, table = ''] = /OWN_OPTIONS = \{([^}]*)\}/.exec(read('arguments.py')) ?? [];
    const own = [...table.matchAll(/"(--[a-z-]+)":/g)].map(([, flag]) => flag);
    expect(own.length).toBeGreaterThan(5);
    expect(own.filter((flag) => !flagsOf('coordinator').includes(flag ?? ''))).toEqual([]);
  });

  it('knows exit codes by their meaning', () => {
    const text = read('restarts.py');
    const value = (name: string) => Number(new RegExp(`^${name} = (\\d+)$`, 'm').exec(text)?.[1]);
    const names = ['RENDEZVOUS', 'UNREACHABLE', 'LOCKED', 'INTERRUPTED', 'TERMINATED'] as const;
    for (const name of names) expect(value(name), name).toBe(errorTable[name].exit);
    const [, final = ''] = /FINAL = frozenset\(\{([^}]*)\}\)/.exec(text) ?? [];
    const codes = final.split(', ').map(Number).filter(Boolean);
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => code !== 127 && !exitCodes.includes(code))).toEqual([]);
  });
});
