import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readEnvironment } from '../../../cli/options/environment.ts';
import { keysOf, namesOf, optionOf, keyOfName, variableOf } from '../../../cli/options/options.ts';
import { errorTable } from '../../../shared/errors.ts';
import {
  common,
  complaints,
  copied,
  exposure,
  folder,
  missing,
  openings,
  units,
  valuesOf,
} from '../../fixtures/deploy/units.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const documentation = readFileSync(`${root}docs/deploy/bare-hosts.md`, 'utf8');
const read = (file: string, from: string = folder) => readFileSync(join(from, file), 'utf8');
const commandOf = (unit: string) => (unit.includes('worker') ? 'worker' : 'coordinator');
const needsSystemd = missing === undefined ? '' : ` (skipped: ${missing})`;

/** Replaces a string in the file. Fails if the file does not contain the string. */
function spoil(from: string, file: string, before: string, after: string): void {
  const text = read(file, from);
  expect(text).toContain(before);
  writeFileSync(join(from, file), text.replace(before, after));
}

function unknownFlags(unit: string, from: string = folder): string[] {
  const [line = ''] = valuesOf('ExecStart', unit, from);
  const known = keysOf(commandOf(unit)).flatMap((key) => namesOf(key).map((name) => `--${name}`));
  const flags = line.split(' ').filter((word) => word.startsWith('--'));
  expect(flags.length).toBeGreaterThan(1);
  return flags.filter((flag) => !known.includes(flag));
}

describe.skipIf(missing !== undefined)(`systemd-analyze${needsSystemd}`, () => {
  it.each(units)('reports no problem in %s', (unit) => {
    expect(complaints(unit)).toBe('');
  });

  it.each([
    ['mnist-dist-coordinator.service', 1.6],
    ['mnist-dist-worker@.service', 1.8],
    ['mnist-dist-cpu-worker@.service', 1.6],
  ])('rates the exposure of %s at most %d of 10, as documented', (unit, limit) => {
    expect(exposure(unit)).toBeLessThanOrEqual(limit);
    expect(documentation).toContain(`| \`${unit}\` | ${limit} |`);
  });

  it('reports a misspelt directive', () => {
    const copy = copied();
    spoil(copy, common, 'ProtectSystem=', 'ProtektSystem=');
    expect(complaints(units[0], copy)).toContain('ProtektSystem');
  });

  const hardening = read(common).slice(read(common).indexOf('NoNewPrivileges'));
  const lines = hardening
    .split('\n')
    .filter((line) => /^(?!#|SystemCallErrorNumber|PrivateIPC)\w+=/.test(line));
  it.each([...lines, 'User=mnist-dist'])('finds more exposure in a unit without %s', (line) => {
    const copy = copied();
    spoil(copy, common, `${line}\n`, '');
    const before = openings(units[0]);
    expect(openings(units[0], copy).filter((name) => !before.includes(name))).not.toEqual([]);
  });

  it.each([units[0], units[2]])(
    "finds more exposure in %s with access to the host's devices",
    (unit) => {
      const copy = copied();
      spoil(copy, unit, 'PrivateDevices=yes\n', '');
      const before = openings(unit);
      expect(openings(unit, copy).filter((name) => !before.includes(name))).not.toEqual([]);
    },
  );
});

describe('deploy/systemd', () => {
  it.each(units)('gives %s only flags that its command has', (unit) => {
    expect(unknownFlags(unit)).toEqual([]);
    const copy = copied();
    spoil(copy, unit, commandOf(unit) === 'worker' ? '--device' : '--token-file', '--devise');
    expect(unknownFlags(unit, copy)).toEqual(['--devise']);
  });

  it.each([
    ['coordinator.env', 'coordinator'],
    ['worker.env', 'worker'],
  ] as const)('sets in %s only options of %s, with allowed values', (file, command) => {
    const pairs = read(file).matchAll(/^#?(MNIST_DIST_\w+)=(.*)$/gm);
    const environment = Object.fromEntries(
      [...pairs].map(([, name = '', value = '']) => [name, value]),
    );
    const given = readEnvironment(environment);
    expect(given.size).toBe(Object.keys(environment).length);
    for (const [key, { text }] of given) {
      expect(keysOf(command)).toContain(key);
      expect(optionOf(key).type.parse(text), text).not.toBeUndefined();
    }
  });

  it('sets only environment variables that exist', () => {
    const words = [common, ...units]
      .flatMap((file) => valuesOf('Environment', file))
      .join(' ')
      .split(' ');
    const variables = words
      .map((word) => word.split('=')[0] ?? '')
      .filter((name) => name !== 'NODE_ENV');
    expect(variables).toContain('MNIST_DIST_RUNS_DIR');
    expect(() =>
      readEnvironment(Object.fromEntries(variables.map((name) => [name, '']))),
    ).not.toThrow();
    for (const name of variables.filter((variable) => variable !== 'MNIST_DIST_CACHE')) {
      const key = keyOfName(name.slice('MNIST_DIST_'.length).toLowerCase().replaceAll('_', '-'));
      expect(key === undefined ? '' : variableOf(namesOf(key)[0] ?? '')).toBe(name);
    }
  });

  it.each(units)('restarts %s only if that can help', (unit) => {
    const never = new Set(
      valuesOf('RestartPreventExitStatus', unit).join(' ').split(' ').map(Number),
    );
    for (const code of ['USAGE', 'VERSION', 'DATA', 'TLS'] as const)
      expect(never).toContain(errorTable[code].exit);
    // A bug, a missing coordinator, a full disk and too little memory may be temporary.
    for (const code of [
      'UNEXPECTED',
      'UNREACHABLE',
      'RENDEZVOUS',
      'RUN_FAILED',
      'FULL',
      'TIMEOUT',
      'LIMIT',
      'DISK',
      'ADDRESS',
    ] as const)
      expect(never).not.toContain(errorTable[code].exit);
    const known = new Set<number>(Object.values(errorTable).map(({ exit }) => exit));
    expect([...never].filter((code) => !known.has(code))).toEqual([]);
    if (commandOf(unit) === 'worker') {
      expect(valuesOf('RestartForceExitStatus', unit)).toEqual(['143']);
      for (const code of ['UNAUTHORIZED', 'FINGERPRINT', 'SUPERSEDED'] as const)
        expect(never).toContain(errorTable[code].exit);
    }
    expect(valuesOf('SuccessExitStatus', common)).toEqual([String(errorTable.TERMINATED.exit)]);
    expect(valuesOf('KillMode', common)).toEqual(['mixed']);
  });

  it('uses the same paths in units, tmpfiles, sysusers and the documentation', () => {
    const made = read('mnist-dist.tmpfiles.conf');
    const sources = units.flatMap((unit) =>
      valuesOf('LoadCredential', unit).map((value) => value.split(':')[1] ?? ''),
    );
    const inputs = units.flatMap((unit) =>
      valuesOf('StandardInput', unit).map((value) => value.replace('file:', '')),
    );
    expect(new Set(sources).size).toBe(3);
    for (const path of new Set([...sources, ...inputs])) {
      expect(documentation).toContain(path);
      // Every file that is not a certificate is a secret.
      if (!path.endsWith('.crt')) expect(made).toContain(`z ${path} 0600 root root\n`);
    }
    for (const unit of units)
      for (const path of valuesOf('AssertPathExists', unit)) expect(inputs).toContain(path);
    const files = units.flatMap((unit) => valuesOf('EnvironmentFile', unit));
    for (const file of files)
      expect(file).toMatch(/^-?\/etc\/mnist-dist\/(coordinator|worker|worker-%i)\.env$/);
    const [user = ''] = valuesOf('User', common);
    expect(read('mnist-dist.sysusers.conf')).toMatch(
      new RegExp(`^u ${user} - "[^"]+" /var/lib/${user}$`, 'm'),
    );
    expect(made).toContain(
      `d /var/cache/${valuesOf('CacheDirectory', common)[0]} 0750 ${user} ${user}\n`,
    );
    expect(valuesOf('Environment', common)[0]).toContain(`MNIST_DIST_CACHE=/var/cache/${user}`);
    expect(valuesOf('Environment', units[0])).toEqual([
      `MNIST_DIST_RUNS_DIR=/var/lib/${valuesOf('StateDirectory', units[0])[0]}/runs`,
    ]);
  });

  it('runs only programs and refers only to pages that exist', () => {
    for (const unit of units) {
      const text = read(unit);
      const paths = [...text.matchAll(/\/opt\/mnist-dist\/([\w./-]+)/g)].map(
        ([, path = '']) => path,
      );
      expect(paths.length).toBeGreaterThan(1);
      for (const path of paths) expect(existsSync(`${root}${path}`), path).toBe(true);
      expect(documentation).toContain(unit.replace('.service', ''));
    }
  });
});
