import { z } from 'zod';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { CREDENTIALS } from './store-address.ts';
import type { Judged } from './retry.ts';

/** What was asked for, for errors. */
export interface Asked {
  readonly uri: string;
  readonly bucket: string;
  /** The server; undefined for Amazon's. */
  readonly endpoint: string | undefined;
}

const answerSchema = z.object({
  name: z.string(),
  $metadata: z.object({ httpStatusCode: z.int().optional() }).optional(),
});
/** Errors of S3 with a status below 500 that another attempt may not meet. */
const passing = new Set([
  'RequestTimeout',
  'SlowDown',
  'TooManyRequests',
  'Throttling',
  'ThrottlingException',
  'OperationAborted',
  // Bytes that were damaged or cut off on the way.
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
 * Whatever the client for S3 has thrown. What the server says may hold anything: it is escaped
 * where it is shown.
 */
export function judgeS3(error: unknown, asked: Asked): Judged {
  const { name, $metadata } = answerSchema.safeParse(error).data ?? { name: '' };
  const status = $metadata?.httpStatusCode;
  const code = systemCode(error) ?? '';
  const isUnreachable = status === undefined && (network.has(code) || name === 'TimeoutError');
  const isTransient = isUnreachable || (status ?? 0) >= 500 || status === 429 || passing.has(name);
  const { what, fix } = isUnreachable
    ? unreached(asked, code === '' ? messageOf(error) : code)
    : worded(name, status, messageOf(error), asked);
  return {
    error: new ClusterError('STORE', `${asked.uri}: ${what}`, { fix, cause: error }),
    isTransient,
  };
}

interface Words {
  readonly what: string;
  readonly fix: string;
}

function unreached(asked: Asked, reason: string): Words {
  return {
    what: `${serverOf(asked)} does not answer (${reason})`,
    fix: `see that it runs and can be reached (${variableOf(asked)}), then do the same again: what is there is not sent again`,
  };
}

function worded(name: string, status: number | undefined, message: string, asked: Asked): Words {
  const server = serverOf(asked);
  if (name === 'NoSuchBucket')
    return {
      what: `there is no bucket ${asked.bucket} at ${server}`,
      fix: `make it (aws s3 mb s3://${asked.bucket}), or name another one`,
    };
  if (secrets.has(name))
    return {
      what: `${server} refuses the access key or its secret (${name})`,
      fix: 'see to AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or to AWS_PROFILE',
    };
  if (name === 'CredentialsProviderError')
    return {
      what: `there is no access key for ${server}`,
      fix: CREDENTIALS,
    };
  if (name === 'RequestTimeTooSkewed')
    return {
      what: `the clock here differs from that of ${server}`,
      fix: 'set the clock of this machine',
    };
  if (status === 403 || status === 401)
    return {
      what: `${server} does not allow it (${name})`,
      fix: `the access key needs s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on ${asked.bucket}`,
    };
  if (status === 301 || status === 307 || name === 'AuthorizationHeaderMalformed')
    return {
      what: `the bucket ${asked.bucket} is in another region (${name})`,
      fix: 'set AWS_REGION to the region of the bucket',
    };
  return {
    what: `${server} answered ${status ?? 'what S3 does not'}: ${[name, message].filter(Boolean).join(', ')}`,
    fix: `see whether ${variableOf(asked)} names a server of S3, then do the same again: what is there is not sent again`,
  };
}

function serverOf({ endpoint }: Asked): string {
  return endpoint ?? 'Amazon S3';
}

function variableOf({ endpoint }: Asked): string {
  return endpoint === undefined ? 'AWS_REGION' : 'AWS_ENDPOINT_URL';
}
