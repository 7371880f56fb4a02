import { describe, expect, it } from 'vitest';
import { ClusterError } from '../../../../shared/errors.ts';
import { MAX_STORE_ATTEMPTS } from '../../../../shared/limits.ts';
import { inParallel } from '../../../../artifacts/store/transfers.ts';
import { withRetries } from '../../../../artifacts/store/retry.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';

const said = new ClusterError('STORE', 'said');
const judge = (error: unknown) => ({ error: said, isTransient: error === 'transient' });

describe('a failed attempt', () => {
  it('is retried, after a delay that doubles each time', async () => {
    const waits: number[] = [];
    let attempts = 0;
    const attempt = async () => (++attempts < 4 ? Promise.reject<number>('transient') : attempts);
    expect(await withRetries(attempt, judge, immediateRetries(waits))).toBe(4);
    expect(waits).toEqual([125, 250, 500]);
  });

  it('is retried only a limited number of times', async () => {
    let attempts = 0;
    const attempt = () => Promise.reject(++attempts > 0 ? 'transient' : 'never');
    await expect(withRetries(attempt, judge, immediateRetries())).rejects.toBe(said);
    expect(attempts).toBe(MAX_STORE_ATTEMPTS);
  });

  it.each(['permanent', new ClusterError('DISK', 'in words')])(
    'is not retried if it is permanent: %s',
    async (failure) => {
      let attempts = 0;
      const attempt = () => Promise.reject(++attempts > 0 ? failure : 'never');
      await expect(withRetries(attempt, judge, immediateRetries())).rejects.toBe(
        typeof failure === 'string' ? said : failure,
      );
      expect(attempts).toBe(1);
    },
  );

  it('is not retried after a stop', async () => {
    const stopping = new AbortController();
    const reason = new Error('stopped');
    const retryPolicy = {
      ...immediateRetries([], stopping.signal),
      onRetry: () => stopping.abort(reason),
    };
    let attempts = 0;
    const attempt = () => Promise.reject(++attempts > 0 ? 'transient' : 'never');
    await expect(withRetries(attempt, judge, retryPolicy)).rejects.toBe(reason);
    expect(attempts).toBe(1);
  });
});

describe('parallel tasks', () => {
  it('never exceed the limit, and all of them complete', async () => {
    let atWork = 0;
    let most = 0;
    const done: number[] = [];
    await inParallel([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
      most = Math.max(most, ++atWork);
      await new Promise(setImmediate);
      atWork--;
      done.push(item);
    });
    expect(most).toBe(3);
    expect(done.toSorted()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('are no longer started once one has failed', async () => {
    const begun: number[] = [];
    let atWork = 0;
    const failing = inParallel([1, 2, 3, 4, 5], 2, async (item) => {
      begun.push(item);
      atWork++;
      await new Promise(setImmediate);
      atWork--;
      if (item === 1) throw said;
      await new Promise(setImmediate);
    });
    await expect(failing).rejects.toBe(said);
    expect(atWork).toBe(0);
    expect(begun).toEqual([1, 2]);
  });
});
