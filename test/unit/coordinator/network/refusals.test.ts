import { describe, expect, it } from 'vitest';
import { Refusals } from '../../../../coordinator/network/refusals.ts';
import {
  HANDSHAKE_DOUBT_MILLISECONDS,
  MAX_REFUSED_ADDRESSES,
  REFUSAL_INTERVAL_MILLISECONDS,
} from '../../../../shared/limits.ts';

describe('the log of refused connections', () => {
  it("has a line for an address's first refusal, then one per interval with the count", () => {
    const refusals = new Refusals('0.2.0');
    expect(refusals.add('10.0.0.7', 'token', 0)).toMatch(
      /^refused 1 connection from 10\.0\.0\.7: no proof/,
    );
    for (let i = 1; i <= 5000; i++) expect(refusals.add('10.0.0.7', 'token', i)).toBeUndefined();
    expect(refusals.due(REFUSAL_INTERVAL_MILLISECONDS - 1)).toEqual([]);
    expect(refusals.due(REFUSAL_INTERVAL_MILLISECONDS)).toEqual([
      expect.stringMatching(/^refused 5000 connections from 10\.0\.0\.7: no proof/),
    ]);
    // After an interval without refusals, the next one is logged immediately.
    expect(refusals.due(2 * REFUSAL_INTERVAL_MILLISECONDS)).toEqual([]);
    expect(refusals.add('10.0.0.7', 'token', 3 * REFUSAL_INTERVAL_MILLISECONDS)).toMatch(
      /^refused 1 /,
    );
  });

  it('counts each address and reason separately', () => {
    const refusals = new Refusals('0.2.0');
    expect(refusals.add('a', 'token', 0)).toContain('from a: no proof of the token');
    expect(refusals.add('b', 'token', 0)).toContain('from b');
    expect(refusals.add('a', 'crowded', 0)).toContain('to make room');
  });

  it('reports an untrusted certificate, unless the address is admitted soon afterwards', () => {
    const refusals = new Refusals('0.2.0');
    for (const address of ['reader', 'doubter'])
      expect(refusals.add(address, 'handshake', 0)).toBeUndefined();
    refusals.admitted('reader');
    expect(refusals.due(HANDSHAKE_DOUBT_MILLISECONDS)).toEqual([
      expect.stringMatching(/^refused 1 connection from doubter: .*certificate/),
    ]);
  });

  it('reports a certificate that only one of two processes at an address trusts', () => {
    const refusals = new Refusals('0.2.0');
    for (let i = 0; i < 3; i++) refusals.add('shared', 'handshake', i);
    refusals.admitted('shared');
    expect(refusals.due(HANDSHAKE_DOUBT_MILLISECONDS)).toEqual([
      expect.stringMatching(/^refused 2 connections from shared: .*certificate/),
    ]);
  });

  it('remembers a bounded number of addresses', () => {
    const refusals = new Refusals('0.2.0');
    const lines = Array.from({ length: 10_000 }, (_, i) =>
      refusals.add(`address ${i}`, 'token', 0),
    );
    expect(lines.filter((line) => line !== undefined).length).toBe(MAX_REFUSED_ADDRESSES + 1);
    expect(refusals.due(REFUSAL_INTERVAL_MILLISECONDS)).toEqual([
      expect.stringMatching(/^refused \d+ connections from other addresses/),
    ]);
  });
});
