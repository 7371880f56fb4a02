import { inspect } from 'node:util';
import { errorTable } from '../shared/errors.ts';
import { linesOf, stderr } from './output.ts';

/** A defect ends the process as Node would end it; its stack may quote what came from outside. */
export function reportDefects(): void {
  process.on('uncaughtException', (error: unknown) => {
    stderr.write(...linesOf(inspect(error)), `Node ${process.version}`);
    process.exit(errorTable.UNEXPECTED.exit);
  });
}
