/** The code of a system error, such as "ENOENT"; undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** What to do about a file that exceeds the limit of the process or the file system. */
export const FILE_SIZE_FIX = 'raise the limit on the size of files: ulimit -f unlimited';

/** Whether a write failed because the file would be too large, which no free space changes. */
export function isTooLarge(error: unknown): boolean {
  return systemCode(error) === 'EFBIG';
}

/**
 * Whether a write failed because the disk or the user's quota is full, so that a retry may succeed
 * later.
 */
export function isFull(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}
