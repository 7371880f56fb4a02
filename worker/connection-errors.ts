import { ClusterError, messageOf } from '../shared/errors.ts';

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

/**
 * What a failed connection to a coordinator means, and what to do. TLS ends a worker; UNREACHABLE
 * is tried again.
 */
export function connectionError(coordinator: URL, error: unknown): ClusterError {
  if (error instanceof ClusterError) return error;
  const at = coordinator.href;
  const { code, reason } = faultOf(error);
  const tls = (message: string, fix: string): ClusterError =>
    new ClusterError('TLS', message, { fix, cause: error });
  if (CHAIN.has(code))
    return tls(
      `the certificate of ${at} was signed by an authority that this worker does not trust (${code})`,
      'give --ssl-ca-certfile with the ca.crt that `mnist-dist certs` made, or join with the string that the coordinator prints',
    );
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return tls(
        `the certificate of ${at} has expired, by the clock of this machine (${now()})`,
        'if that clock is right, make a new one on the coordinator: `mnist-dist certs NAME`; else set the clock',
      );
    case 'CERT_NOT_YET_VALID':
      return tls(
        `the certificate of ${at} is not valid yet, by the clock of this machine (${now()})`,
        'compare the clocks of both machines (date -u), and let NTP set them',
      );
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return tls(
        `the certificate of ${at} is for another name: ${reason}`,
        `dial it by a name that it has, or make one for this name: \`mnist-dist certs ${coordinator.hostname}\``,
      );
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
      return tls(
        `what listens at ${at} does not speak TLS 1.3`,
        `give the coordinator a certificate (--ssl-certfile, --ssl-keyfile), or dial ws://${coordinator.host} with --insecure`,
      );
    default:
      return new ClusterError(
        'UNREACHABLE',
        `no coordinator answers at ${at}: ${messageOf(error)}`,
        {
          fix: fixOf(code, coordinator),
          cause: error,
        },
      );
  }
}

function fixOf(code: string, { protocol, hostname, host, port }: URL): string {
  switch (code) {
    case 'ECONNREFUSED':
      return 'no process listens there: start it with `mnist-dist coordinator`, or check --coordinator; another machine reaches one only where it listens (--host 0.0.0.0)';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `this machine finds no address for "${hostname}": check the name, or dial the IP address`;
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'TimeoutError':
      return `nothing comes back from ${hostname}: a firewall, or an address that is only known behind a NAT; open port ${port} there, or dial an address that this machine reaches (coordinator --advertise)`;
    case 'ECONNRESET':
    case 'HPE_INVALID_CONSTANT':
      return protocol === 'ws:' || protocol === 'http:'
        ? `if it has a certificate, dial wss://${host}`
        : 'look at the log of the coordinator';
    default:
      return 'start it with `mnist-dist coordinator`, or check --coordinator';
  }
}

/**
 * The system's name for what went wrong, and its words. Several addresses may have been tried, each
 * with an error of its own.
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
