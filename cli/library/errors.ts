import { resourceErrorOf } from '../processes/resource-error.ts';
import { ClusterError, errorTable, messageOf } from '../../shared/errors.ts';
import { MnistDistError } from './public-error.ts';

/** The public form of an error; INTERRUPTED with the signal's reason if the signal is aborted. */
export function publicError(
  error: unknown,
  signal?: AbortSignal,
  directory?: string,
): MnistDistError {
  if (error instanceof MnistDistError) return error;
  const known = resourceErrorOf(error);
  const code = known?.code ?? 'UNEXPECTED';
  const isAborted = code === 'INTERRUPTED' && signal?.aborted === true;
  return new MnistDistError(known?.message ?? messageOf(error), {
    code,
    exitCode: errorTable[code].exit,
    fix: known?.fix,
    directory,
    cause: isAborted ? signal.reason : (known?.cause ?? (known === undefined ? error : undefined)),
  });
}

/** Throws INTERRUPTED if the signal is aborted. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw aborted();
}

export function aborted(fix?: string): ClusterError {
  const options = fix === undefined ? {} : { fix };
  return new ClusterError('INTERRUPTED', 'aborted by the signal', options);
}
