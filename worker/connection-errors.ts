import { X509Certificate } from 'node:crypto';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { isLoopback } from '../shared/wire/address.ts';
import type { ConnectionStage } from './connection-progress.ts';

const CHAIN = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'CERT_CHAIN_TOO_LONG',
]);

/** The name of the error of AbortSignal.timeout. */
const TIMEOUT = 'TimeoutError';

/**
 * The error for a failed connection to a coordinator, with a fix. A worker gives up after a TLS
 * error and retries after UNREACHABLE. `stage` is that of the connection when its time limit
 * expired. `trusted` are the certificates that the worker trusts, in PEM.
 */
export function connectionError(
  coordinator: URL,
  error: unknown,
  stage?: ConnectionStage,
  trusted = '',
): ClusterError {
  if (error instanceof ClusterError) return error;
  const at = coordinator.href;
  const { code, reason } = faultOf(error);
  const tls = (message: string, fix: string): ClusterError =>
    new ClusterError('TLS', message, { fix, cause: error });
  if (CHAIN.has(code))
    return tls(
      `this worker does not trust the authority that issued the certificate of ${at} (${code})`,
      'pass the ca.crt that `mnist-dist certs` created with --ssl-ca-certfile, or use the ' +
        "coordinator's join string",
    );
  switch (code) {
    case 'CERT_HAS_EXPIRED': {
      const authority = expired(trusted);
      return authority === undefined
        ? tls(
            `the certificate of ${at} has expired according to this machine's clock (${now()})`,
            'set the clock, or create a new certificate for the coordinator: ' +
              '`mnist-dist certs NAME`, with --out DIR if its authority has expired too',
          )
        : tls(
            `the certificate that this worker trusts, "${authority}", has expired ` +
              `according to this machine's clock (${now()})`,
            'set the clock, or create a new authority and certificate for the coordinator: ' +
              '`mnist-dist certs NAME --out DIR`; all workers then need its ca.crt or a new join ' +
              'string',
          );
    }
    case 'CERT_NOT_YET_VALID':
      return tls(
        `the certificate of ${at} is not valid yet according to this machine's clock (${now()})`,
        'compare the clocks of both machines (date -u), and synchronize them with NTP',
      );
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return tls(
        `the certificate of ${at} is for a different name: ${reason}`,
        `dial a name that the certificate contains, or create a certificate for this name: ` +
          `\`mnist-dist certs ${coordinator.hostname}\``,
      );
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
      return tls(
        `the process at ${at} does not speak TLS 1.3`,
        `give the coordinator a certificate (--ssl-certfile, --ssl-keyfile), or dial ` +
          `ws://${coordinator.host} with --insecure`,
      );
    default:
      return new ClusterError(
        'UNREACHABLE',
        `no coordinator answers at ${at}: ` +
          (code === TIMEOUT ? lateness(coordinator, stage) : messageOf(error)),
        {
          fix: fixOf(code, coordinator, stage),
          cause: error,
        },
      );
  }
}

/** The subject of the first certificate, if all of them have expired. */
function expired(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const certificates = blocks.map((block) => new X509Certificate(block));
  if (certificates.some(({ validTo }) => Date.parse(validTo) >= Date.now())) return undefined;
  return certificates[0]?.subject.replaceAll('\n', ', ');
}

/** What did not happen within the time limit. */
function lateness({ hostname }: URL, stage: ConnectionStage | undefined): string {
  switch (stage) {
    case 'lookup':
      return `"${hostname}" was not resolved in time`;
    case 'acceptance':
      return 'no connection was established in time';
    case 'response':
      return 'the connection was established, but no response arrived in time';
    case undefined:
      return 'no response arrived in time';
  }
}

function fixOf(
  code: string,
  { protocol, hostname, host, port }: URL,
  stage: ConnectionStage | undefined,
): string {
  const resolve = `"${hostname}" cannot be resolved: check the name and DNS, or use the IP address`;
  // The stage does not explain a failure that the system reports.
  const waitedFor = code === TIMEOUT ? stage : undefined;
  switch (code) {
    case 'ECONNREFUSED':
      return (
        'start one with `mnist-dist coordinator` (--host 0.0.0.0 for other machines), or check ' +
        '--coordinator'
      );
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return resolve;
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case TIMEOUT:
      if (waitedFor === 'lookup') return resolve;
      if (isLoopback(hostname))
        return `check whether the process that listens on port ${port} is suspended or busy`;
      if (waitedFor === 'response')
        return (
          `check whether the process that listens on port ${port} of ${hostname} is suspended ` +
          'or busy'
        );
      return (
        `open port ${port} in the firewall of ${hostname}, or dial an address that this ` +
        `machine can reach (see the coordinator's --advertise)`
      );
    case 'ECONNRESET':
    case 'HPE_INVALID_CONSTANT':
      return protocol === 'ws:' || protocol === 'http:'
        ? `if the coordinator has a certificate, dial wss://${host}`
        : "read the coordinator's log";
    default:
      return 'start one with `mnist-dist coordinator`, or check --coordinator';
  }
}

/**
 * The code and text of a system error; if several addresses were tried, those for the first
 * address.
 */
function faultOf(error: unknown): { code: string; reason: string } {
  if (error instanceof AggregateError && error.errors.length > 0) return faultOf(error.errors[0]);
  if (!(error instanceof Error)) return { code: '', reason: String(error) };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  const reason =
    'reason' in error && typeof error.reason === 'string' ? error.reason : error.message;
  return { code, reason };
}

function now(): string {
  return new Date().toISOString();
}
