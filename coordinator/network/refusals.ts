import {
  HANDSHAKE_DOUBT_MILLISECONDS,
  MAX_CONNECTIONS,
  MAX_REFUSED_ADDRESSES,
  MAX_REQUESTS,
  MAX_REQUESTS_PER_ADDRESS,
  MIN_DATA_BYTES_PER_SECOND,
  REFUSAL_INTERVAL_MILLISECONDS,
} from '../../shared/limits.ts';
import { PROTOCOL } from '../../shared/wire/messages.ts';
import { updateFix } from '../../shared/wire/other-version.ts';

/** Why a connection was refused. */
export type Refusal =
  | 'token'
  | 'outdated'
  | 'handshake'
  | 'crowded'
  | 'late'
  | 'requests'
  | 'slow'
  | 'connections'
  | 'upgrades';

const meanings: Readonly<Record<Exclude<Refusal, 'outdated'>, string>> = {
  token:
    "no proof of the token, or a wrong one; a worker needs this run's token or join string; a " +
    'worker that merely timed out will dial again',
  handshake:
    'closed during or right after the TLS handshake; the peer does not trust this ' +
    "coordinator's certificate, dialled a name that is not in the certificate, or does " +
    'not speak TLS 1.3',
  crowded: 'closed before any proof of the token, to make room for newer connections',
  late: 'no proof of the token in time',
  requests:
    'it has the token, but the places for requests of the run and its dataset are taken ' +
    `(MAX_REQUESTS_PER_ADDRESS ${MAX_REQUESTS_PER_ADDRESS}, MAX_REQUESTS ${MAX_REQUESTS}); ` +
    'a worker dials again',
  slow:
    'it has the token, but reads the dataset at less than ' +
    `${MIN_DATA_BYTES_PER_SECOND} bytes per second (MIN_DATA_BYTES_PER_SECOND)`,
  connections: `it has the token, but there are already ${MAX_CONNECTIONS} workers' connections`,
  upgrades: 'it has the token, but this address opens connections for workers too often',
};

interface RefusalCount {
  readonly address: string;
  readonly refusal: Refusal;
  count: number;
  /** When the next line may be logged. */
  due: number;
}

/**
 * Log lines about refused connections: one for each address and reason, then at most one per
 * interval with the number of connections. Addresses beyond MAX_REFUSED_ADDRESSES are counted
 * together.
 */
export class Refusals {
  readonly #counts = new Map<string, RefusalCount>();
  readonly #meanings: Readonly<Record<Refusal, string>>;

  /** @param version the coordinator's version of mnist-dist */
  constructor(version: string) {
    this.#meanings = { ...meanings, outdated: outdatedMeaning(version) };
  }

  /** Counts a refusal; returns a line to log now, if any. */
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
    // A worker that trusts a certificate by its digest first reads the certificate over a separate
    // connection, and is admitted right afterwards.
    const isUnclear = refusal === 'handshake';
    const due = now + (isUnclear ? HANDSHAKE_DOUBT_MILLISECONDS : REFUSAL_INTERVAL_MILLISECONDS);
    this.#counts.set(key, { address: where, refusal, count: isUnclear ? 1 : 0, due });
    return isUnclear ? undefined : this.#lineOf(where, refusal, 1);
  }

  /**
   * Called when a worker at this address was admitted. One handshake that ended there is then not
   * reported.
   */
  admitted(address: string): void {
    const key = `handshake ${address}`;
    const counted = this.#counts.get(key);
    if (counted === undefined || counted.count === 0) return;
    counted.count -= 1;
    if (counted.count === 0) this.#counts.delete(key);
  }

  /** Log lines for each address and reason whose interval has passed. */
  due(now: number): string[] {
    const lines: string[] = [];
    for (const [key, counted] of this.#counts) {
      if (counted.due > now) continue;
      if (counted.count === 0) this.#counts.delete(key);
      else lines.push(this.#lineOf(counted.address, counted.refusal, counted.count));
      counted.due = now + REFUSAL_INTERVAL_MILLISECONDS;
      counted.count = 0;
    }
    return lines;
  }

  #lineOf(address: string, refusal: Refusal, count: number): string {
    const noun = count === 1 ? 'connection' : 'connections';
    return `refused ${count} ${noun} from ${address}: ${this.#meanings[refusal]}`;
  }
}

function outdatedMeaning(version: string): string {
  return (
    `an older mnist-dist (0.1, protocol 2 or older), which sends the token itself; this ` +
    `coordinator is mnist-dist ${version}, protocol ${PROTOCOL}; ${updateFix('worker', version)}`
  );
}
