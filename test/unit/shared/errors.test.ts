import { describe, expect, it } from 'vitest';
import {
  errorCodeOfClose,
  errorCodeOfExit,
  errorCodes,
  errorTable,
} from '../../../shared/errors.ts';

describe('the error table', () => {
  it.each(errorCodes)('has a unique exit code for %s, from 1 to 255', (code) => {
    const { exit } = errorTable[code];
    expect(errorCodeOfExit(exit)).toBe(code);
    expect(exit).toBeGreaterThan(0);
    expect(exit).toBeLessThan(256);
  });

  it.each(errorCodes)('has a unique close code for %s, in the range for applications', (code) => {
    const { close } = errorTable[code];
    if (close === undefined) return;
    expect(errorCodeOfClose(close)).toBe(code);
    expect(close).toBeGreaterThanOrEqual(4000);
    expect(close).toBeLessThan(5000);
  });

  it('reserves exit code 1 for bugs', () => {
    expect(errorCodeOfExit(1)).toBe('UNEXPECTED');
  });
});
