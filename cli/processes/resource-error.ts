import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';

const memoryFix =
  'free memory, or allow more: ulimit -v unlimited, and the memory limit of the container or job';

/**
 * What the system or the runtime has refused, as an error with a code and a fix. Undefined for
 * anything else that was thrown, which is a defect.
 */
export function resourceErrorOf(error: unknown): ClusterError | undefined {
  if (error instanceof ClusterError) return error;
  const message = messageOf(error);
  const refused = (code: 'LIMIT' | 'DISK' | 'ENGINE', what: string, fix: string) =>
    new ClusterError(code, what, { fix, cause: error });
  if (
    error instanceof RangeError &&
    /could not allocate|allocation failed|out of memory/i.test(message)
  )
    return refused('LIMIT', `there is not enough memory: ${message}`, memoryFix);
  if (error instanceof ReferenceError && message.startsWith('WebAssembly is not defined'))
    return refused(
      'ENGINE',
      'this Node runs without WebAssembly, with which gradients are summed',
      'leave out --jitless (also in NODE_OPTIONS)',
    );
  switch (systemCode(error)) {
    case 'EMFILE':
    case 'ENFILE':
      return refused('LIMIT', `too many files are open: ${message}`, 'allow more: ulimit -n 1024');
    case 'ENOMEM':
    case 'ERR_WORKER_OUT_OF_MEMORY':
      return refused('LIMIT', `there is not enough memory: ${message}`, memoryFix);
    case 'EAGAIN':
    case 'ERR_WORKER_INIT_FAILED':
      return refused(
        'LIMIT',
        `no more processes or threads may be started: ${message}`,
        'allow more: ulimit -u, and the limit of the container or job',
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return refused('DISK', message, 'free disk space');
    case 'EROFS':
    case 'EIO':
      return refused('DISK', message, 'look at the file system of that path');
    case undefined:
    default:
      return undefined;
  }
}
