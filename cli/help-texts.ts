import { assert } from '../shared/errors.ts';
import { commandNames } from './command-table.ts';
import { version } from './package.ts';
import { HELP_COLUMNS, type HelpTexts } from './printed-help.ts';
import { parseCommand } from './program.ts';

/** The texts that printed-help.ts prints; the build writes them to help.json. */
export function helpTexts(): HelpTexts {
  const text = (...argv: readonly string[]) => {
    const parsed = parseCommand(argv, {}, version, HELP_COLUMNS);
    assert(parsed.command === 'print', '--help prints');
    return parsed.text;
  };
  return {
    version,
    program: text('--help'),
    commands: Object.fromEntries(commandNames.map((name) => [name, text(name, '--help')])),
  };
}
