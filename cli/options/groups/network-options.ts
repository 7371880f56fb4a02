import * as limits from '../../../shared/limits.ts';
import { DEFAULT_PORT, endpoint, host } from '../endpoint.ts';
import { withDefault, withoutDefault } from '../option.ts';
import {
  byteSize,
  duration,
  flag,
  integer,
  MAX_RETRIES,
  path,
  port,
  secret,
  sha256,
  WEEK_SECONDS,
} from '../value-types.ts';

const listeners = ['local', 'coordinator', 'eval', 'doctor'] as const;
const tlsListeners = ['local', 'coordinator', 'eval'] as const;

export const networkOptions = {
  host: withDefault(host, '127.0.0.1', {
    in: listeners,
    help:
      'address to listen on; one that other machines can reach needs TLS or --insecure ' +
      '(eval: wait for workers to join instead of starting them)',
  }),
  port: withDefault(port, DEFAULT_PORT, {
    in: listeners,
    help:
      'port to listen on; 0 picks a free port ' +
      '(eval: wait for workers to join instead of starting them)',
  }),
  coordinator: withDefault(endpoint, `ws://127.0.0.1:${DEFAULT_PORT}`, {
    in: ['worker'],
    alias: 'rdzv-endpoint',
    help:
      "the coordinator's address; wss:// connects with TLS (not set: if nothing listens at the " +
      'default, look for a coordinator that announces itself)',
  }),
  join: withoutDefault(secret('STRING|-'), {
    in: ['worker'],
    help:
      'join string that the coordinator prints: its address, token and certificate; ' +
      '- reads it from stdin',
  }),
  advertise: withoutDefault(host, {
    in: ['coordinator', 'eval'],
    help:
      'host name or address at which workers reach this machine ' +
      '(default: --host, or the first name in the certificate)',
  }),
  announce: withDefault(flag, false, {
    in: ['coordinator'],
    help:
      'announce this run on the network (mDNS), so that workers can find it without its address; ' +
      'they still need the token and the certificate',
  }),
  sslCertfile: withoutDefault(path('FILE', 'a PEM file with a certificate and its chain'), {
    in: tlsListeners,
    help: 'certificate for TLS with workers; `mnist-dist certs` creates one',
  }),
  sslKeyfile: withoutDefault(path('FILE', 'a PEM file with the private key for --ssl-certfile'), {
    in: tlsListeners,
    help: 'private key for --ssl-certfile',
  }),
  sslCaCertfile: withoutDefault(path('FILE', 'a PEM file with certificates'), {
    in: ['worker'],
    help:
      'CA certificates to trust (default: the certificate in the join string, ' +
      'or those that this machine trusts)',
  }),
  sslCaSha256: withoutDefault(sha256, {
    in: ['worker'],
    help:
      'trust only the CA certificate with this SHA-256, which the coordinator presents; ' +
      'the join string contains it',
  }),
  tokenFile: withoutDefault(
    path('FILE', `a readable file of at most ${limits.MAX_TOKEN_FILE_BYTES} bytes`),
    {
      in: ['local', 'coordinator', 'worker', 'eval'],
      help: 'file with the shared token (or set the token itself in MNIST_DIST_TOKEN)',
    },
  ),
  insecure: withDefault(flag, false, {
    in: ['local', 'coordinator', 'worker', 'show', 'board', 'eval'],
    help:
      'allow connections between machines without TLS; others on the network can then read ' +
      'the weights and the dataset',
  }),
  maxRetries: withoutDefault(integer({ min: 0, max: MAX_RETRIES }), {
    in: ['worker'],
    help: 'maximum number of attempts to reconnect (default: retry for --max-wait-time)',
  }),
  maxWaitTime: withDefault(
    duration({ min: 0, max: WEEK_SECONDS }),
    limits.DEFAULT_MAX_WAIT_SECONDS,
    { in: ['worker'], help: 'how long to wait for a coordinator that does not answer' },
  ),
  maxModelBytes: withDefault(
    byteSize({ min: 1, max: limits.MAX_KERNEL_MEMORY_BYTES }),
    limits.DEFAULT_MAX_MODEL_BYTES,
    { in: ['worker'], help: 'refuse a run whose largest message exceeds this size' },
  ),
  maxDataBytes: withDefault(byteSize({ min: 1, max: 1024 ** 4 }), limits.DEFAULT_MAX_DATA_BYTES, {
    in: ['worker'],
    help: 'refuse a run whose dataset exceeds this size',
  }),
  maxMemoryBytes: withDefault(
    byteSize({ min: 1, max: 1024 ** 4 }),
    limits.DEFAULT_MAX_WORKER_MEMORY_BYTES,
    {
      in: ['local', 'sweep', 'worker', 'verify', 'eval'],
      help: 'refuse a run that needs more memory per worker, not counting the dataset',
    },
  ),
};
