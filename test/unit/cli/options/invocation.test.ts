import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { commandNames } from '../../../../cli/command-table.ts';
import { programOf, rememberStart, typable } from '../../../../cli/options/invocation.ts';
import { shellWord } from '../../../../shared/shell-word.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let root = '';
let bin = '';
beforeEach(() => {
  root = join(temporaryFolder(), 'my checkout');
  mkdirSync(join(root, 'bin'), { recursive: true });
  mkdirSync(join(root, 'docs'));
  mkdirSync(join(root, 'dist', 'cli'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{}');
  bin = join(root, 'bin', 'mnist-dist.mjs');
  writeFileSync(bin, '');
  chmodSync(bin, 0o755);
});

/** A folder for PATH with a program called mnist-dist: a link to `target`, or an unrelated file. */
function installed(target: string | undefined): string {
  const folder = temporaryFolder();
  if (target === undefined) writeFileSync(join(folder, 'mnist-dist'), '');
  else symlinkSync(target, join(folder, 'mnist-dist'));
  return folder;
}

const npm = (folder: string, more: Record<string, string> = {}) => ({
  npm_command: 'exec',
  INIT_CWD: folder,
  PATH: `${join(root, 'node_modules', '.bin')}:/usr/bin`,
  ...more,
});

describe('the program is shown the way the user started it:', () => {
  it('as node with a path that works in the working directory', () => {
    const start = { script: bin, root, environment: { PATH: '/usr/bin' } };
    expect(programOf({ ...start, cwd: root })).toBe('node bin/mnist-dist.mjs');
    expect(programOf({ ...start, cwd: join(root, 'docs') })).toBe(`node '${bin}'`);
    expect(programOf({ ...start, cwd: '/' })).toBe(`node '${bin}'`);
  });

  it('as npx with its name, if npx finds it', () => {
    const start = { script: bin, root, cwd: root };
    expect(programOf({ ...start, environment: npm(root) })).toBe('npx mnist-dist');
    expect(programOf({ ...start, environment: npm(join(root, 'docs')) })).toBe('npx mnist-dist');
    // `npm --prefix CHECKOUT start`
    expect(programOf({ ...start, environment: npm('/usr') })).toBe(`node '${bin}'`);
    const project = temporaryFolder();
    mkdirSync(join(project, 'node_modules', '.bin'), { recursive: true });
    symlinkSync(bin, join(project, 'node_modules', '.bin', 'mnist-dist'));
    expect(programOf({ ...start, environment: npm(project) })).toBe('npx mnist-dist');
  });

  it('as its bare name, if that is on PATH', () => {
    const folder = installed(bin);
    const start = { root, cwd: '/', environment: { PATH: `/usr/bin:${folder}` } };
    expect(programOf({ ...start, script: join(folder, 'mnist-dist') })).toBe('mnist-dist');
    // An unrelated program has the same name.
    const other = { PATH: installed(undefined) };
    expect(
      programOf({ ...start, environment: other, script: join(folder, 'mnist-dist') }),
    ).toContain('node ');
    // The program in the container image runs the compiled script.
    const entry = join(root, 'dist', 'cli', 'entry.js');
    writeFileSync(entry, '');
    expect(programOf({ ...start, environment: other, script: entry })).toBe('mnist-dist');
  });
});

it('replaces commands in texts, but not the bare name of the program', () => {
  onTestFinished(() => {
    rememberStart(
      {
        script: '',
        cwd: '/',
        root: '/',
        environment: { MNIST_DIST_INTERNAL_PROGRAM: 'mnist-dist' },
      },
      commandNames,
    );
    delete process.env['MNIST_DIST_INTERNAL_PROGRAM'];
  });
  const environment = { MNIST_DIST_INTERNAL_PROGRAM: 'npx mnist-dist' };
  rememberStart({ script: bin, cwd: join(root, 'docs'), root, environment }, commandNames);
  expect(typable('resume it with: mnist-dist local --resume runs/r')).toBe(
    'resume it with: npx mnist-dist local --resume runs/r',
  );
  expect(typable('Run `npx mnist-dist doctor`.')).toBe('Run `npx mnist-dist doctor`.');
  expect(typable('"mnist-dist --help" lists it')).toBe('"npx mnist-dist --help" lists it');
  for (const name of [
    'mnist-dist: no run',
    'install the same mnist-dist on both',
    'mnist-dist / Training',
    '/opt/mnist-dist local',
  ])
    expect(typable(name)).toBe(name);
  expect(typable('Install again: npm ci')).toBe('Install again: npm ci');
  rememberStart({ script: bin, cwd: '/usr', root, environment }, commandNames);
  expect(typable('Install again: npm ci')).toBe(`Install again: npm --prefix '${root}' ci`);
});

it.each([
  ['runs/r', 'runs/r'],
  ['a b', "'a b'"],
  ["it's", String.raw`'it'\''s'`],
  ['$(x)', "'$(x)'"],
  ['~x', "'~x'"],
  ['-x', '-x'],
  ['', "''"],
])('quotes %o for a shell as %s', (text, word) => {
  expect(shellWord(text)).toBe(word);
});
