import { MIN_OPEN_FILES } from '../shared/limits.ts';
import { tooFewFiles } from '../shared/open-files.ts';
import { watchSignals } from './processes/signals.ts';

/** The exit code of LIMIT. Importing the error table would open too many files here. */
const LIMIT_EXIT_CODE = 23;

/** Starts the program if the limit on open files allows it to load. Resolves with the exit code. */
export async function start(argv: readonly string[]): Promise<number> {
  watchSignals();
  const lack = tooFewFiles(MIN_OPEN_FILES);
  if (lack !== undefined) {
    process.stderr.write(`mnist-dist: ${lack.message}\n  ${lack.fix}\n`);
    return LIMIT_EXIT_CODE;
  }
  const { main } = await import('./main.ts');
  return await main(argv);
}
