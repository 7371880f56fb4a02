import { describe, expect, it } from 'vitest';
import { resourceErrorOf } from '../../../../cli/processes/resource-error.ts';
import { ClusterError, type ErrorCode } from '../../../../shared/errors.ts';

const ofSystem = (code: string, message: string): Error =>
  Object.assign(new Error(message), { code });

describe('what the system or the runtime refuses', () => {
  it.each<[Error, ErrorCode]>([
    [ofSystem('EMFILE', 'EMFILE: too many open files, open /x'), 'LIMIT'],
    [ofSystem('ENFILE', 'ENFILE: file table overflow'), 'LIMIT'],
    [ofSystem('ENOMEM', 'spawn ENOMEM'), 'LIMIT'],
    [ofSystem('EAGAIN', 'spawn EAGAIN'), 'LIMIT'],
    [ofSystem('ERR_WORKER_INIT_FAILED', 'Worker initialization failure: EAGAIN'), 'LIMIT'],
    [ofSystem('ERR_WORKER_OUT_OF_MEMORY', 'Worker terminated'), 'LIMIT'],
    [ofSystem('ENOSPC', 'ENOSPC: no space left on device, write'), 'DISK'],
    [ofSystem('EDQUOT', 'EDQUOT: quota exceeded'), 'DISK'],
    [ofSystem('EROFS', 'EROFS: read-only file system, open /x'), 'DISK'],
    [ofSystem('EIO', 'EIO: i/o error, read'), 'DISK'],
    [new RangeError('WebAssembly.Memory(): could not allocate memory'), 'LIMIT'],
    [new RangeError('Array buffer allocation failed'), 'LIMIT'],
    [
      new RangeError('WebAssembly.instantiate(): Out of memory: Cannot allocate Wasm memory'),
      'LIMIT',
    ],
    [new ReferenceError('WebAssembly is not defined'), 'ENGINE'],
  ])('%s is an error with a fix', (error, code) => {
    const refusal = resourceErrorOf(error);
    expect(refusal).toMatchObject({ code, cause: error });
    expect(refusal?.message).toContain(code === 'ENGINE' ? 'WebAssembly' : error.message);
    expect(refusal?.fix).not.toBe('');
  });

  it('is itself where it has a code already', () => {
    const error = new ClusterError('DATA', 'damaged');
    expect(resourceErrorOf(error)).toBe(error);
  });

  it.each([
    new TypeError('x is not a function'),
    new RangeError('Invalid array length'),
    new ReferenceError('x is not defined'),
    ofSystem('ENOENT', 'ENOENT: no such file or directory, open /x'),
    'a string',
    undefined,
  ])('is not %s, which is a defect', (error) => {
    expect(resourceErrorOf(error)).toBeUndefined();
  });
});
