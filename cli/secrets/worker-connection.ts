import { isLoopback } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import { Anchor, type Trust } from '../../worker/trust.ts';
import type { Environment } from '../options/environment.ts';
import { joinText, parseJoin, type Join } from './join.ts';
import { readJoin } from './read-join.ts';
import type { Log } from '../terminal/log.ts';
import type { OptionKey, WorkerOptions } from '../options/options.ts';
import { flagOf } from '../options/options.ts';
import { readCertificates } from './tls-files.ts';
import { workerToken } from './token.ts';

/** A worker's coordinator: its address, its token, and the certificates that are trusted. */
export interface WorkerConnection {
  readonly coordinator: URL;
  readonly token: () => string;
  readonly anchor: Anchor;
  /**
   * Environment variables for a process that takes over from this one, so that the join string is
   * read only once.
   */
  readonly handedOn: Readonly<Record<string, string>>;
}

const HANDED_ON = 'MNIST_DIST_INTERNAL_JOIN';

/** Options whose values a join string contains. */
const joinOptions: readonly OptionKey[] = [
  'coordinator',
  'tokenFile',
  'sslCaCertfile',
  'sslCaSha256',
];

/**
 * Takes the connection from the join string, or from the options. Rejects with USAGE if either is
 * invalid, or if the coordinator is on another machine and neither TLS nor --insecure is used.
 */
export async function workerConnection(
  options: WorkerOptions,
  explicit: ReadonlySet<OptionKey>,
  argv: readonly string[],
  environment: Environment,
  log: Log,
): Promise<WorkerConnection> {
  const join = await joinOf(options, explicit, argv, environment, log);
  const coordinator = new URL(join?.coordinator ?? options.coordinator);
  // An address from the options was already checked when they were parsed.
  if (coordinator.protocol === 'ws:' && !isLoopback(coordinator.hostname) && !options.insecure)
    throw new ClusterError(
      'USAGE',
      `the join string has an address without TLS: ${coordinator.href}`,
      {
        fix:
          'give the coordinator a certificate (`mnist-dist certs`, --ssl-certfile); ' +
          'on a network that you trust, add --insecure: others on it can then read the ' +
          'weights and the dataset',
      },
    );
  const token =
    join === undefined
      ? workerToken(options.tokenFile, coordinator, environment)
      : () => join.token;
  const handedOn = join === undefined ? {} : { [HANDED_ON]: joinText(join) };
  return { coordinator, token, anchor: new Anchor(trustOf(join, options)), handedOn };
}

async function joinOf(
  { join }: WorkerOptions,
  explicit: ReadonlySet<OptionKey>,
  argv: readonly string[],
  environment: Environment,
  log: Log,
): Promise<Join | undefined> {
  if (join === undefined) return undefined;
  const known = environment[HANDED_ON];
  if (known !== undefined) return parseJoin(known);
  const twice = joinOptions.find((key) => explicit.has(key));
  if (twice !== undefined)
    throw new ClusterError('USAGE', `--join and ${flagOf(twice)} cannot be combined`, {
      fix: 'use only one of them',
    });
  if (join === '-') return parseJoin(await readJoin());
  if (argv.some((word) => word === '--join' || word.startsWith('--join=')))
    log.warn(
      {},
      'other users of this machine can read the token in --join with ps: ' +
        'pass it on stdin (--join -) or in MNIST_DIST_JOIN',
    );
  return parseJoin(join);
}

function trustOf(
  join: Join | undefined,
  { sslCaCertfile, sslCaSha256 }: Pick<WorkerOptions, 'sslCaCertfile' | 'sslCaSha256'>,
): Trust {
  const sha256 = join?.ca ?? sslCaSha256;
  if (sha256 !== undefined) return { kind: 'digest', sha256 };
  if (sslCaCertfile === undefined) return { kind: 'system' };
  return {
    kind: 'certificates',
    pem: readCertificates(sslCaCertfile, '--ssl-ca-certfile').map(String).join(''),
  };
}
