import { MIN_OPEN_FILES } from '../shared/limits.ts';
import { tooFewFiles } from '../shared/open-files.ts';
import { watchSignals } from './processes/signals.ts';

/** Exit codes of LIMIT and DISK. Importing the error table would open too many files here. */
const LIMIT_EXIT_CODE = 23;
const DISK_EXIT_CODE = 26;

/** Starts the program if the limit on open files allows it to load. Resolves with the exit code. */
export async function checkedStart(argv: readonly string[]): Promise<number> {
  watchSignals();
  const lack = tooFewFiles(MIN_OPEN_FILES);
  if (lack !== undefined) {
    process.stderr.write(`mnist-dist: ${lack.message}\n  ${lack.fix}\n`);
    return LIMIT_EXIT_CODE;
  }
  if (!hasFolder()) {
    process.stderr.write(
      'mnist-dist: the current folder was removed\n  change to an existing folder: cd DIR\n',
    );
    return DISK_EXIT_CODE;
  }
  const { main } = await import('./main.ts');
  return await main(argv);
}

/** Whether the working directory exists: every relative path depends on it. */
function hasFolder(): boolean {
  try {
    process.cwd();
    return true;
  } catch {
    return false;
  }
}
