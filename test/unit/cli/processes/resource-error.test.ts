import { describe, expect, it } from 'vitest';
import { resourceErrorOf } from '../../../../cli/processes/resource-error.ts';
import { ClusterError, type ErrorCode } from '../../../../shared/errors.ts';

const systemError = (code: string, message: string): Error =>
  Object.assign(new Error(message), { code });

describe('an error from the system or the runtime', () => {
  it.each<[Error, ErrorCode]>([
    [systemError('EMFILE', 'EMFILE: too many open files, open /x'), 'LIMIT'],
    [systemError('ENFILE', 'ENFILE: file table overflow'), 'LIMIT'],
    [systemError('ENOMEM', 'spawn ENOMEM'), 'LIMIT'],
    [systemError('EAGAIN', 'spawn EAGAIN'), 'LIMIT'],
    [systemError('ERR_WORKER_INIT_FAILED', 'Worker initialization failure: EAGAIN'), 'LIMIT'],
    [systemError('ERR_WORKER_OUT_OF_MEMORY', 'Worker terminated'), 'LIMIT'],
    [systemError('ENOSPC', 'ENOSPC: no space left on device, write'), 'DISK'],
    [systemError('EDQUOT', 'EDQUOT: quota exceeded'), 'DISK'],
    [systemError('EFBIG', 'EFBIG: file too large, write'), 'DISK'],
    [systemError('EROFS', 'EROFS: read-only file system, open /x'), 'DISK'],
    [systemError('EIO', 'EIO: i/o error, read'), 'DISK'],
    [new RangeError('WebAssembly.Memory(): could not allocate memory'), 'LIMIT'],
    [new RangeError('Array buffer allocation failed'), 'LIMIT'],
    [
      new RangeError('WebAssembly.instantiate(): Out of memory: Cannot allocate Wasm memory'),
      'LIMIT',
    ],
    [new ReferenceError('WebAssembly is not defined'), 'ENGINE'],
  ])('%s gets a code and a fix', (error, code) => {
    const resourceError = resourceErrorOf(error);
    expect(resourceError).toMatchObject({ code, cause: error });
    expect(resourceError?.message).toContain(code === 'ENGINE' ? 'WebAssembly' : error.message);
    expect(resourceError?.fix).not.toBe('');
  });

  it('is kept if it already has a code', () => {
    const error = new ClusterError('DATA', 'damaged');
    expect(resourceErrorOf(error)).toBe(error);
  });

  it.each([
    new TypeError('x is not a function'),
    new RangeError('Invalid array length'),
    new ReferenceError('x is not defined'),
    systemError('ENOENT', 'ENOENT: no such file or directory, open /x'),
    'a string',
    undefined,
  ])('%s does not get a code, because it is a bug', (error) => {
    expect(resourceErrorOf(error)).toBeUndefined();
  });
});
