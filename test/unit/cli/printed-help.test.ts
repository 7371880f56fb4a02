import { spawnSync } from 'node:child_process';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { commandNames } from '../../../cli/command-table.ts';
import { helpTexts } from '../../../cli/help-texts.ts';
import { parseCommand } from '../../../cli/program.ts';
import { errorTable } from '../../../shared/errors.ts';
import { executable } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const texts = helpTexts();

/** What the program prints when it parses the command line. */
function parsedText(argv: readonly string[], columns?: number): string {
  const parsed = parseCommand(argv, {}, texts.version, columns);
  if (parsed.command !== 'print') throw new Error(`${argv.join(' ')} runs ${parsed.command}`);
  return parsed.text;
}

/** Starts the built program, with a report of the CommonJS packages that it loaded. */
function start(argv: readonly string[], stdout: 'pipe' | number = 'pipe') {
  const probe = join(temporaryFolder(), 'probe.cjs');
  writeFileSync(
    probe,
    `process.on('exit', () => require('node:fs').writeFileSync(
      ${JSON.stringify(`${probe}.txt`)}, Object.keys(require.cache).join('\\n')));`,
  );
  const { status, ...output } = spawnSync(
    process.execPath,
    ['--require', probe, executable, ...argv],
    {
      encoding: 'utf8',
      stdio: ['ignore', stdout, 'pipe'],
      env: { ...process.env, MNIST_DIST_INTERNAL_PROGRAM: 'mnist-dist' },
    },
  );
  const isParsed = readFileSync(`${probe}.txt`, 'utf8').includes('commander');
  return { status, ...output, isParsed };
}

// The first command after a change builds, and says so.
beforeAll(() => void spawnSync(process.execPath, [executable, '--version']), 120_000);

it('has the texts in the build that the program would print', () => {
  const built = readFileSync(new URL('../../../dist/cli/help.json', import.meta.url), 'utf8');
  expect(JSON.parse(built)).toEqual(texts);
  expect(Object.keys(texts.commands)).toEqual([...commandNames]);
});

it('has texts for a pipe, regardless of the terminal in which the build runs', () => {
  expect(texts.program).toBe(parsedText(['--help']));
  expect(parsedText(['local', '--help'], 200)).not.toBe(texts.commands['local']);
});

describe('without loading the program', () => {
  it.each(['--help', '-h', 'help', '--version', '-V', 'local --help', 'worker -h', 'help eval'])(
    'prints "%s" as commander does',
    (line) => {
      const argv = line.split(' ');
      expect(start(argv)).toMatchObject({
        status: 0,
        stdout: parsedText(argv),
        stderr: '',
        isParsed: false,
      });
    },
  );

  it('prints the help on stderr if there is no command', () => {
    const expected = { status: 2, stdout: '', stderr: parsedText([]), isParsed: false };
    expect(start([])).toMatchObject(expected);
  });
});

it.each([
  ['local -n 4 --help', 0],
  ['--help local', 0],
  ['lokal --help', 0],
  ['help lokal', 2],
])('leaves "%s" to the program', (line, status) => {
  expect(start(line.split(' '))).toMatchObject({ status, isParsed: true });
});

it('leaves it to the program to report that the text cannot be written', () => {
  const { status, stderr } = start(['--help'], openSync('/dev/full', 'w'));
  expect(status).toBe(errorTable.DISK.exit);
  expect(stderr).toMatch(/the output could not be written.*\n.*free disk space/);
});
