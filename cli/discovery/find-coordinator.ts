import { once } from 'node:events';
import { connect } from 'node:net';
import { systemClock } from '../../shared/clock.ts';
import { ClusterError } from '../../shared/errors.ts';
import { pause } from '../../shared/pause.ts';
import {
  DISCOVERY_PAUSE_MILLISECONDS,
  LOCAL_PROBE_INTERVAL_MILLISECONDS,
  MAX_LOGGED_ANNOUNCEMENTS,
  PROBE_MILLISECONDS,
} from '../../shared/wire/announcement-limits.ts';
import type { Announcement } from '../../shared/wire/announcement.ts';
import { isLoopback } from '../../shared/wire/address.ts';
import {
  chooseCoordinator,
  type Choice,
  type Coordinator,
  type Credentials,
} from '../../worker/choose-coordinator.ts';
import type { Environment } from '../options/environment.ts';
import type { OptionKey, WorkerOptions } from '../options/options.ts';
import { givenToken, workerToken } from '../secrets/token.ts';
import type { Log } from '../terminal/log.ts';

/** The address of an announced coordinator, and its token. */
export interface Found {
  readonly coordinator: URL;
  readonly token: () => string;
}

/**
 * Finds a coordinator for a worker that was not given an address: one that listens at the default
 * address or, failing that, the only coordinator that announces itself on the network and that this
 * worker could join. Resolves with undefined if the worker should dial the address in its options.
 * Rejects with AMBIGUOUS if several coordinators qualify, with UNREACHABLE after --max-wait-time,
 * or with the signal's reason.
 */
export async function findCoordinator(
  options: WorkerOptions,
  explicit: ReadonlySet<OptionKey>,
  environment: Environment,
  log: Log,
  signal: AbortSignal,
): Promise<Found | undefined> {
  if (options.join !== undefined || explicit.has('coordinator')) return undefined;
  const local = new URL(options.coordinator);
  const { maxWaitTime, maxRetries } = options;
  const deadline = systemClock.now() + 1000 * maxWaitTime;
  const credentials = credentialsOf(options, environment);
  const logged = new Set<string>();
  for (let nextLook: number | undefined; ;) {
    // A worker that was given a certificate to check does not connect without TLS.
    if (!credentials.hasAuthority && (await isCoordinator(local, log, logged, signal)))
      return undefined;
    if (nextLook === undefined)
      log.info({}, 'no coordinator yet; looking for one that announces itself on this network');
    if (nextLook === undefined || systemClock.now() >= nextLook) {
      const { discover } = await import('../../worker/discovery.ts');
      const choice = chooseCoordinator(await discover(signal), credentials);
      const found = chosen(choice, log, logged);
      if (found !== undefined) {
        const announcement = await reachable(found, signal);
        const coordinator = new URL(announcement.coordinator);
        log.info({ coordinator: coordinator.href }, `found ${described([announcement])}`);
        return { coordinator, token: workerToken(options.tokenFile, coordinator, environment) };
      }
      nextLook = systemClock.now() + DISCOVERY_PAUSE_MILLISECONDS;
    }
    // A worker with a limited number of attempts looks once, and then dials the default address.
    if (maxRetries !== undefined) return undefined;
    if (systemClock.now() >= deadline) throw notFound(local, maxWaitTime);
    await pause(LOCAL_PROBE_INTERVAL_MILLISECONDS, signal);
  }
}

/**
 * The first of a coordinator's addresses that accepts connections; if none does, the first one,
 * which the worker then dials repeatedly.
 */
async function reachable(coordinator: Coordinator, signal: AbortSignal): Promise<Announcement> {
  const [first, ...others] = coordinator;
  if (others.length === 0) return first;
  for (const announcement of coordinator)
    if (await listens(new URL(announcement.coordinator), signal)) return announcement;
  return first;
}

/**
 * Whether a coordinator listens at the default address. A process that accepts a connection but is
 * silent may be a suspended coordinator; one that answers something else is logged once.
 */
async function isCoordinator(
  local: URL,
  log: Log,
  logged: Set<string>,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(await listens(local, signal))) return false;
  const { isChallenged } = await import('../../worker/proven-request.ts');
  const limit = AbortSignal.timeout(PROBE_MILLISECONDS);
  const is = await isChallenged(local, AbortSignal.any([signal, limit]));
  signal.throwIfAborted();
  if (is || limit.aborted) return true;
  const line = `the process at ${local.href} is not a coordinator without TLS`;
  if (!logged.has(line)) log.warn({}, line);
  logged.add(line);
  return false;
}

/** Whether a process accepts connections at this address. */
async function listens({ protocol, hostname, port }: URL, signal: AbortSignal): Promise<boolean> {
  const socket = connect({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port === '' ? (protocol === 'ws:' ? 80 : 443) : port),
  });
  const limit = AbortSignal.timeout(PROBE_MILLISECONDS);
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, limit]) });
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  } finally {
    socket.destroy();
  }
}

function credentialsOf(options: WorkerOptions, environment: Environment): Credentials {
  const { tokenFile, sslCaCertfile, sslCaSha256, insecure } = options;
  return {
    // The token files of the coordinators on this machine are for loopback addresses only.
    hasToken: (coordinator) =>
      isLoopback(coordinator.hostname)
        ? workerToken(tokenFile, coordinator, environment)() !== ''
        : givenToken(tokenFile, environment) !== undefined,
    sha256: sslCaSha256,
    hasAuthority: (sslCaSha256 ?? sslCaCertfile) !== undefined,
    isInsecure: insecure,
  };
}

/**
 * The coordinator to join; undefined if there is none yet. Logs why the worker cannot join the
 * announced coordinators, each reason once. Throws AMBIGUOUS.
 */
function chosen(choice: Choice, log: Log, logged: Set<string>): Coordinator | undefined {
  switch (choice.kind) {
    case 'join':
      return choice.coordinator;
    case 'ambiguous':
      throw new ClusterError(
        'AMBIGUOUS',
        `found ${choice.coordinators.length} coordinators, and this worker joins none: ` +
          choice.coordinators.map(described).join('; '),
        { fix: 'choose one with --coordinator URL, or with its join string (--join -)' },
      );
    case 'none':
      for (const { announcement, why } of choice.obstacles) {
        const line = `found ${described([announcement])}, but ${why}`;
        if (logged.has(line) || logged.size >= MAX_LOGGED_ANNOUNCEMENTS) continue;
        logged.add(line);
        log.warn({}, line);
      }
      return undefined;
  }
}

function described(coordinator: Coordinator): string {
  const [{ run, version }] = coordinator;
  const addresses = coordinator.map((announcement) => announcement.coordinator).join(' or ');
  return `the coordinator at ${addresses} (run ${run}, mnist-dist ${version})`;
}

function notFound(local: URL, maxWaitTime: number): ClusterError {
  return new ClusterError(
    'UNREACHABLE',
    `no coordinator that this worker could join listened at ${local.href} or announced itself ` +
      `on this network within ${maxWaitTime} s (--max-wait-time)`,
    {
      fix:
        'start one with `mnist-dist coordinator` (with --announce if it is on another machine), ' +
        'or pass its address with --coordinator or --join',
    },
  );
}
