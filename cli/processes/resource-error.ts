import { FILE_SIZE_FIX, systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';

const memoryFix =
  'free memory, or raise the limits: ulimit -v unlimited, and those of the container or the job';

/**
 * Converts an error about a resource that the system or the runtime denied into a ClusterError with
 * a fix. Returns a ClusterError unchanged, and undefined for any other error, which is a bug.
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
      'Node is running without WebAssembly, which is needed to sum the gradients',
      'remove --jitless from the command line and from NODE_OPTIONS',
    );
  switch (systemCode(error)) {
    case 'EMFILE':
    case 'ENFILE':
      return refused(
        'LIMIT',
        `too many files are open: ${message}`,
        'raise the limit: ulimit -n 1024',
      );
    case 'ENOMEM':
    case 'ERR_WORKER_OUT_OF_MEMORY':
      return refused('LIMIT', `there is not enough memory: ${message}`, memoryFix);
    case 'EAGAIN':
    case 'ERR_WORKER_INIT_FAILED':
      return refused(
        'LIMIT',
        `no more processes or threads can be started: ${message}`,
        'raise the limits: ulimit -u, and those of the container or the job',
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return refused('DISK', message, 'free disk space');
    case 'EFBIG':
      return refused('DISK', message, FILE_SIZE_FIX);
    case 'EROFS':
    case 'EIO':
      return refused('DISK', message, "check that path's file system");
    case undefined:
    default:
      return undefined;
  }
}
