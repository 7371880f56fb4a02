import { isDeepStrictEqual } from 'node:util';
import { isLoopback } from '../shared/wire/address.ts';
import type { Announcement } from '../shared/wire/announcement.ts';
import { PROTOCOL } from '../shared/wire/protocol.ts';

/** This worker's credentials, and whom it trusts. None of this comes from an announcement. */
export interface Credentials {
  /** Whether the worker has a token for this address. */
  readonly hasToken: (coordinator: URL) => boolean;
  /** The trusted authority's SHA-256, if the worker was given one. */
  readonly sha256: string | undefined;
  /** Whether the worker was given certificates, or the SHA-256 of one. */
  readonly hasAuthority: boolean;
  /** Whether connections to other machines may do without TLS. */
  readonly isInsecure: boolean;
}

/** One coordinator's announcements, for example with its addresses on several networks. */
export type Coordinator = readonly [Announcement, ...Announcement[]];

/** A worker's decision about the announcements that it found. */
export type Choice =
  | { readonly kind: 'join'; readonly coordinator: Coordinator }
  /** The worker could join more than one coordinator. */
  | { readonly kind: 'ambiguous'; readonly coordinators: readonly Coordinator[] }
  /** The worker cannot join any coordinator; `obstacles` says why. */
  | {
      readonly kind: 'none';
      readonly obstacles: readonly { announcement: Announcement; why: string }[];
    };

/** Chooses a coordinator if it is the only one that the worker could join. */
export function chooseCoordinator(
  found: readonly Announcement[],
  credentials: Credentials,
): Choice {
  const coordinators: [Announcement, ...Announcement[]][] = [];
  const obstacles: { announcement: Announcement; why: string }[] = [];
  for (const announcement of found) {
    const why = obstacle(announcement, credentials);
    if (why !== undefined) {
      obstacles.push({ announcement, why });
      continue;
    }
    const known = coordinators.find((others) =>
      others.some((other) => isSameCoordinator(other, announcement)),
    );
    if (known === undefined) coordinators.push([announcement]);
    else known.push(announcement);
  }
  const [first, second] = coordinators;
  if (first === undefined) return { kind: 'none', obstacles };
  return second === undefined
    ? { kind: 'join', coordinator: first }
    : { kind: 'ambiguous', coordinators };
}

/**
 * Whether two announcements are of the same coordinator: they differ only in its address, or they
 * have the same address, since a coordinator that was restarted has a different id.
 */
function isSameCoordinator(one: Announcement, other: Announcement): boolean {
  if (one.coordinator === other.coordinator) return true;
  return isDeepStrictEqual({ ...one, coordinator: '' }, { ...other, coordinator: '' });
}

/**
 * Why this worker cannot join a coordinator; undefined if it may try. An announcement can only
 * exclude itself: the connection checks the certificate and the token in any case.
 */
function obstacle(
  { coordinator, protocol, version, ca }: Announcement,
  { hasToken, sha256, hasAuthority, isInsecure }: Credentials,
): string | undefined {
  const url = new URL(coordinator);
  if (protocol !== PROTOCOL)
    return (
      `it has protocol ${protocol} (mnist-dist ${version}), but this worker has protocol ` +
      `${PROTOCOL}: install the same version on both machines`
    );
  // The scheme alone decides whether the worker will connect with TLS.
  const isEncrypted = url.protocol === 'wss:';
  if (!isEncrypted && hasAuthority)
    return 'it does not use TLS, but this worker was given a certificate to check';
  if (!isEncrypted && !isLoopback(url.hostname) && !isInsecure)
    return 'it does not use TLS, which this worker accepts only with --insecure';
  // The authorities that this machine trusts certify any name, including one that an attacker
  // announces.
  if (isEncrypted && !hasAuthority)
    return 'this worker needs --ssl-ca-sha256 or --ssl-ca-certfile to check its certificate';
  if (isEncrypted && sha256 !== undefined && ca !== sha256)
    return `its authority has the SHA-256 ${ca}, not the one in --ssl-ca-sha256`;
  if (!hasToken(url))
    return 'this worker has no token for it: pass --token-file or set MNIST_DIST_TOKEN';
  return undefined;
}
