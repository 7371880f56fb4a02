import { isLoopback } from '../shared/address.ts';
import { ClusterError } from '../shared/errors.ts';
import { Anchor, type Trust } from '../worker/trust.ts';
import type { Environment } from './environment.ts';
import { parseJoin, readJoinLine, type Join } from './join.ts';
import type { Log } from './log.ts';
import type { OptionKey, WorkerOptions } from './options.ts';
import { flagOf } from './options.ts';
import { readCertificates } from './tls-files.ts';
import { workerToken } from './token.ts';

/** Where a worker dials, what it shows there, and whom it believes. */
export interface WorkerConnection {
  readonly coordinator: URL;
  readonly token: () => string;
  readonly anchor: Anchor;
}

/** What a join string says, too. */
const saidByJoin: readonly OptionKey[] = ['coordinator', 'tokenFile', 'sslCaCertfile'];

/** From the join string, or from the options one by one. Throws USAGE, for a connection in the clear beyond this machine as well. */
export function workerConnection(
  options: WorkerOptions,
  explicit: ReadonlySet<OptionKey>,
  argv: readonly string[],
  environment: Environment,
  log: Log,
): WorkerConnection {
  const join = joinOf(options, explicit, argv, log);
  const coordinator = new URL(join?.coordinator ?? options.coordinator);
  // Of an address among the options this is known already.
  if (coordinator.protocol === 'ws:' && !isLoopback(coordinator.hostname) && !options.insecure)
    throw new ClusterError('USAGE', `the join string leads to ${coordinator.href}, without TLS`, {
      fix: 'give the coordinator a certificate (`mnist-dist certs`, --ssl-certfile); on a network you trust add --insecure: whoever reads it reads the token',
    });
  const token =
    join === undefined ? workerToken(options.tokenFile, coordinator, environment) : () => join.token;
  return { coordinator, token, anchor: new Anchor(trustOf(join, options)) };
}

function joinOf(
  { join }: WorkerOptions,
  explicit: ReadonlySet<OptionKey>,
  argv: readonly string[],
  log: Log,
): Join | undefined {
  if (join === undefined) return undefined;
  const twice = saidByJoin.find((key) => explicit.has(key));
  if (twice !== undefined)
    throw new ClusterError('USAGE', `--join says what ${flagOf(twice)} says, too`, {
      fix: 'keep one of them',
    });
  if (join === '-') return parseJoin(readJoinLine());
  if (argv.some((word) => word === '--join' || word.startsWith('--join=')))
    log.warn(
      {},
      'others on this machine can read the token of --join with ps: give it on stdin (--join -) or in MNIST_DIST_JOIN',
    );
  return parseJoin(join);
}

function trustOf(join: Join | undefined, { sslCaCertfile }: WorkerOptions): Trust {
  if (join?.ca !== undefined) return { kind: 'digest', sha256: join.ca };
  if (sslCaCertfile === undefined) return { kind: 'system' };
  return {
    kind: 'certificates',
    pem: readCertificates(sslCaCertfile, '--ssl-ca-certfile').map(String).join(''),
  };
}
