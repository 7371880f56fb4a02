import { z } from 'zod';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { CREDENTIALS } from './store-address.ts';
import type { Failure } from './retry.ts';

/** The request that failed, for messages. */
export interface S3Request {
  readonly uri: string;
  readonly bucket: string;
  /** The server; undefined for Amazon S3. */
  readonly endpoint: string | undefined;
}

const answerSchema = z.object({
  name: z.string(),
  $metadata: z.object({ httpStatusCode: z.int().optional() }).optional(),
});
/** S3 errors below status 500 that are worth retrying. */
const transient = new Set([
  'RequestTimeout',
  'SlowDown',
  'TooManyRequests',
  'Throttling',
  'ThrottlingException',
  'OperationAborted',
  // The bytes were damaged or truncated in transit.
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'IncompleteBody',
  'TimeoutError',
]);
const network = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
  'EHOSTDOWN',
  'ENETDOWN',
]);
const secrets = new Set([
  'SignatureDoesNotMatch',
  'InvalidAccessKeyId',
  'InvalidToken',
  'ExpiredToken',
  'TokenRefreshRequired',
]);

/**
 * Classifies an error from the S3 client. The server's own text may contain anything; it is escaped
 * when it is printed.
 */
export function classifyS3Error(error: unknown, request: S3Request): Failure {
  const { name, $metadata } = answerSchema.safeParse(error).data ?? { name: '' };
  const status = $metadata?.httpStatusCode;
  const code = systemCode(error) ?? '';
  const isUnreachable = status === undefined && (network.has(code) || name === 'TimeoutError');
  const isTransient =
    isUnreachable || (status ?? 0) >= 500 || status === 429 || transient.has(name);
  const { what, fix } = isUnreachable
    ? unreachable(request, code === '' ? messageOf(error) : code)
    : explained(name, status, messageOf(error), request);
  return {
    error: new ClusterError('STORE', `${request.uri}: ${what}`, { fix, cause: error }),
    isTransient,
  };
}

interface Explanation {
  readonly what: string;
  readonly fix: string;
}

function unreachable(request: S3Request, reason: string): Explanation {
  return {
    what: `${serverOf(request)} does not answer (${reason})`,
    fix:
      `check that it is running and reachable (${variableOf(request)}), then retry; complete ` +
      `files are not sent again`,
  };
}

function explained(
  name: string,
  status: number | undefined,
  message: string,
  request: S3Request,
): Explanation {
  const server = serverOf(request);
  if (name === 'NoSuchBucket')
    return {
      what: `bucket ${request.bucket} does not exist at ${server}`,
      fix: `create it (aws s3 mb s3://${request.bucket}), or choose another one`,
    };
  if (secrets.has(name))
    return {
      what: `${server} rejected the access key or its secret (${name})`,
      fix: 'check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE',
    };
  if (name === 'CredentialsProviderError')
    return {
      what: `no access key is set for ${server}`,
      fix: CREDENTIALS,
    };
  if (name === 'RequestTimeTooSkewed')
    return {
      what: `this machine's clock differs from that of ${server}`,
      fix: "set this machine's clock",
    };
  if (status === 403 || status === 401)
    return {
      what: `${server} denied access (${name})`,
      fix:
        `the access key needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket ` +
        `on ${request.bucket}`,
    };
  if (status === 301 || status === 307 || name === 'AuthorizationHeaderMalformed')
    return {
      what: `the bucket ${request.bucket} is in another region (${name})`,
      fix: "set AWS_REGION to the bucket's region",
    };
  return {
    what:
      `${server} answered ${status ?? 'with an invalid S3 response'}: ` +
      [name, message].filter(Boolean).join(', '),
    fix:
      `check that ${variableOf(request)} is an S3 server, then retry; complete files are not ` +
      `sent again`,
  };
}

function serverOf({ endpoint }: S3Request): string {
  return endpoint ?? 'Amazon S3';
}

function variableOf({ endpoint }: S3Request): string {
  return endpoint === undefined ? 'AWS_REGION' : 'AWS_ENDPOINT_URL';
}
