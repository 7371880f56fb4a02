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

interface Tally {
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
  readonly #tallies = new Map<string, Tally>();

  /** A line to log now, if there is one. */
  add(address: string, refusal: Refusal, now: number): string | undefined {
    const known =
      this.#tallies.has(`${refusal} ${address}`) || this.#tallies.size < MAX_REFUSED_ADDRESSES;
    const where = known ? address : 'other addresses';
    const key = `${refusal} ${where}`;
    const tally = this.#tallies.get(key);
    if (tally !== undefined) {
      tally.count += 1;
      return undefined;
    }
    // A worker that trusts a certificate by its digest reads it over a connection of its own, and
    // is admitted right afterwards.
    const isUnclear = refusal === 'handshake';
    const due = now + (isUnclear ? HANDSHAKE_DOUBT_MILLISECONDS : REFUSAL_INTERVAL_MILLISECONDS);
    this.#tallies.set(key, { address: where, refusal, count: isUnclear ? 1 : 0, due });
    return isUnclear ? undefined : lineOf(where, refusal, 1);
  }

  /**
   * A process at this address trusts the certificate: one handshake may have been its. Others, of
   * another process there, are still told.
   */
  admitted(address: string): void {
    const key = `handshake ${address}`;
    const tally = this.#tallies.get(key);
    if (tally === undefined || tally.count === 0) return;
    tally.count -= 1;
    if (tally.count === 0) this.#tallies.delete(key);
  }

  /** What was counted since the last line of each address, when its interval is over. */
  due(now: number): string[] {
    const lines: string[] = [];
    for (const [key, tally] of this.#tallies) {
      if (tally.due > now) continue;
      if (tally.count === 0) this.#tallies.delete(key);
      else lines.push(lineOf(tally.address, tally.refusal, tally.count));
      tally.due = now + REFUSAL_INTERVAL_MILLISECONDS;
      tally.count = 0;
    }
    return lines;
  }
}

function lineOf(address: string, refusal: Refusal, count: number): string {
  return `refused ${count} connection${count === 1 ? '' : 's'} from ${address}: ${meanings[refusal]}`;
}
