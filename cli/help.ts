import { errorCodes, errorTable } from '../shared/errors.ts';
import { commandTable } from './command-table.ts';
import type { CommandName } from './options/options.ts';

/** The help below the list of commands: examples, sources of values, exit codes. */
export function programHelp(): string {
  const { local, coordinator, worker, verify, eval: evaluation, doctor } = commandTable;
  return [
    '',
    ...exampleLines([
      ...local.examples.slice(0, 1),
      ...coordinator.examples,
      ...worker.examples,
      ...verify.examples.slice(0, 1),
      ...evaluation.examples.slice(0, 1),
      ...doctor.examples,
    ]),
    '',
    ...valueSources,
    '',
    'Exit codes:',
    ...exitCodes().map(({ exit, meaning }) => `  ${String(exit).padStart(3)}  ${meaning}`),
  ].join('\n');
}

export function commandHelp(command: CommandName): string {
  return ['', ...exampleLines(commandTable[command].examples), '', ...valueSources].join('\n');
}

function exampleLines(examples: readonly (readonly [string, string])[]): string[] {
  return ['Examples:', ...examples.map(([line, what]) => `  $ ${line}\n      ${what}`)];
}

const valueSources = [
  'An environment variable (MNIST_DIST_BATCH_SIZE for --batch-size) or the file given by --config',
  '(batch-size: 64) can set an option as well. A flag overrides a variable, a variable overrides',
  'the file, the file overrides --recipe, and the recipe overrides the default.',
];

/** Exit codes in ascending order, including 0. */
export function exitCodes(): { exit: number; code: string; meaning: string }[] {
  return [
    { exit: 0, code: '', meaning: 'The command succeeded.' },
    ...errorCodes.map((code) => ({ code, ...errorTable[code] })),
  ].toSorted((a, b) => a.exit - b.exit);
}
