import {
  HANDSHAKE_DOUBT_MILLISECONDS,
  MAX_REFUSED_ADDRESSES,
  REFUSAL_INTERVAL_MILLISECONDS,
} from '../../shared/limits.ts';

/** Why a connection did not get in. */
export type Refusal = 'token' | 'outdated' | 'handshake' | 'crowded' | 'late';

const meanings: Readonly<Record<Refusal, string>> = {
  token:
    'no proof of the token came, or a wrong one; a worker without the token needs it, or the join string of this run; one that gave up waiting dials again',
  outdated:
    'an older mnist-dist, which sends the token itself; install the same mnist-dist on that machine',
  handshake:
    "closed in the TLS handshake or right after it; that side does not trust this coordinator's certificate, dialled a name that the certificate does not have, or does not speak TLS 1.3",
  crowded: 'closed before any proof of the token, to make room for newer connections',
  late: 'no proof of the token in time',
};

interface RefusalCount {
  readonly address: string;
  readonly refusal: Refusal;
  count: number;
  /** When the next line may be written. */
  due: number;
}

/**
 * Says which addresses were refused: for each address and reason one line, and then at most one in
 * each interval, with how many there were. Of more addresses than it remembers it says only how
 * many connections they made.
 */
export class Refusals {
  readonly #counts = new Map<string, RefusalCount>();

  /** A line to log now, if there is one. */
  add(address: string, refusal: Refusal, now: number): string | undefined {
    const known =
      this.#counts.has(`${refusal} ${address}`) || this.#counts.size < MAX_REFUSED_ADDRESSES;
    const where = known ? address : 'other addresses';
    const key = `${refusal} ${where}`;
    const counted = this.#counts.get(key);
    if (counted !== undefined) {
      counted.count += 1;
      return undefined;
    }
    // A worker that trusts a certificate by its digest reads it over a connection of its own, and
    // is admitted right afterwards.
    const isUnclear = refusal === 'handshake';
    const due = now + (isUnclear ? HANDSHAKE_DOUBT_MILLISECONDS : REFUSAL_INTERVAL_MILLISECONDS);
    this.#counts.set(key, { address: where, refusal, count: isUnclear ? 1 : 0, due });
    return isUnclear ? undefined : lineOf(where, refusal, 1);
  }

  /**
   * A process at this address trusts the certificate: one handshake may have been its. Others, of
   * another process there, are still told.
   */
  admitted(address: string): void {
    const key = `handshake ${address}`;
    const counted = this.#counts.get(key);
    if (counted === undefined || counted.count === 0) return;
    counted.count -= 1;
    if (counted.count === 0) this.#counts.delete(key);
  }

  /** What was counted since the last line of each address, when its interval is over. */
  due(now: number): string[] {
    const lines: string[] = [];
    for (const [key, counted] of this.#counts) {
      if (counted.due > now) continue;
      if (counted.count === 0) this.#counts.delete(key);
      else lines.push(lineOf(counted.address, counted.refusal, counted.count));
      counted.due = now + REFUSAL_INTERVAL_MILLISECONDS;
      counted.count = 0;
    }
    return lines;
  }
}

function lineOf(address: string, refusal: Refusal, count: number): string {
  return `refused ${count} connection${count === 1 ? '' : 's'} from ${address}: ${meanings[refusal]}`;
}
