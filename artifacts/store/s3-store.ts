import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Readable } from 'node:stream';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import {
  MAX_STORE_TRANSFERS,
  STORE_CONNECT_MILLISECONDS,
  STORE_SILENCE_MILLISECONDS,
} from '../../shared/limits.ts';
import { CREDENTIALS, keyOf, uriOf, withoutUser, type StoreAddress } from './store-address.ts';
import { checkName, isSegment } from './store-names.ts';
import { withRetries, type RetryPolicy } from './retry.ts';
import { classifyS3Error } from './s3-errors.ts';
import type { Content, Found, Store } from './store.ts';

type S3Address = Extract<StoreAddress, { kind: 's3' }>;
/** Most servers other than Amazon's accept any region; this one is their default. */
const DEFAULT_REGION = 'us-east-1';

/**
 * A store with the settings that all AWS programs read from the environment. Rejects with USAGE if
 * a setting is missing or invalid.
 */
export async function openS3Store(address: S3Address, retryPolicy: RetryPolicy): Promise<Store> {
  // The client warns about old Node versions; package.json pins a client that supports ours.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const endpoint = endpointOf(process.env);
  const config: S3ClientConfig = {
    // Older servers reject these checksums. The SHA-256 of every object is sent instead.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // withRetries retries instead: the client cannot restart a stream.
    maxAttempts: 1,
    // Errors are reported once, by classifyS3Error.
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    requestHandler: {
      connectionTimeout: STORE_CONNECT_MILLISECONDS,
      socketTimeout: STORE_SILENCE_MILLISECONDS,
      httpAgent: { maxSockets: MAX_STORE_TRANSFERS },
      httpsAgent: { maxSockets: MAX_STORE_TRANSFERS },
    },
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
  };
  const region = process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'];
  const client = new S3Client(region === undefined ? config : { ...config, region });
  if (await hasRegion(client)) return new S3Store(address, client, endpoint, retryPolicy);
  client.destroy();
  if (endpoint === undefined)
    throw new ClusterError('USAGE', `no region is set for ${uriOf(address)}`, {
      fix: 'set AWS_REGION, or AWS_ENDPOINT_URL for a server other than Amazon S3',
    });
  return new S3Store(
    address,
    new S3Client({ ...config, region: DEFAULT_REGION }),
    endpoint,
    retryPolicy,
  );
}

/**
 * The URL of a server other than Amazon S3; undefined if none is set. Throws USAGE if it is
 * invalid.
 */
function endpointOf(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  for (const variable of ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL']) {
    const text = environment[variable] ?? '';
    if (text === '') continue;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isServer = url !== undefined && /^https?:$/.test(url.protocol);
    if (isServer && url.username === '' && url.password === '') return text;
    const why = isServer ? 'contains a user or a password' : 'is not the URL of a server';
    throw new ClusterError('USAGE', `${variable}=${withoutUser(text)} ${why}`, {
      fix:
        'allowed: http://HOST:PORT or https://HOST:PORT; for the key and the secret, ' +
        CREDENTIALS,
    });
  }
  return undefined;
}

async function hasRegion(client: S3Client): Promise<boolean> {
  try {
    await client.config.region();
    return true;
  } catch {
    // The error only says that no region is set.
    return false;
  }
}

class S3Store implements Store {
  readonly #address: S3Address;
  readonly #client: S3Client;
  /** Without user and password, for messages. */
  readonly #endpoint: string | undefined;
  readonly #retryPolicy: RetryPolicy;

  constructor(
    address: S3Address,
    client: S3Client,
    endpoint: string | undefined,
    retryPolicy: RetryPolicy,
  ) {
    this.#address = address;
    this.#client = client;
    this.#endpoint = endpoint === undefined ? undefined : withoutUser(endpoint);
    this.#retryPolicy = retryPolicy;
  }

  uri(name?: string): string {
    return uriOf(this.#address, name);
  }

  async put(name: string, { size, sha256, type, open }: Content): Promise<void> {
    await this.#try(name, async (object, abortSignal) => {
      const body = await open();
      const command = new PutObjectCommand({
        ...object,
        Body: body,
        ContentLength: size,
        ContentType: type,
      });
      // The header is part of the signature, and the server compares it with the bytes.
      command.middlewareStack.add(
        (next) => async (args) => {
          if (hasHeaders(args.request)) args.request.headers['x-amz-content-sha256'] = sha256;
          return await next(args);
        },
        { step: 'build' },
      );
      const reading = new AbortController();
      body.once('error', (error) => reading.abort(error));
      try {
        await this.#client.send(command, {
          abortSignal: AbortSignal.any([abortSignal, reading.signal]),
        });
      } catch (error) {
        throw reading.signal.aborted ? unread(this.uri(name), reading.signal.reason) : error;
      } finally {
        body.destroy();
      }
    });
  }

  async get<T>(name: string, use: (found: Found) => Promise<T>): Promise<T | undefined> {
    return await this.#try(name, async (object, abortSignal) => {
      const answer = await this.#client
        .send(new GetObjectCommand(object), { abortSignal })
        .catch(ifThere);
      if (answer === undefined) return undefined;
      const { Body: body, ContentLength: size } = answer;
      if (!(body instanceof Readable))
        throw new Error('the client returned an object without a stream');
      try {
        return await use({ size, bytes: body });
      } finally {
        body.destroy();
      }
    });
  }

  async remove(name: string): Promise<void> {
    await this.#try(name, async (object, abortSignal) => {
      await this.#client.send(new DeleteObjectCommand(object), { abortSignal }).catch(ifThere);
    });
  }

  async folders(): Promise<string[]> {
    const { bucket, prefix } = this.#address;
    const Prefix = prefix === '' ? '' : `${prefix}/`;
    const { CommonPrefixes = [] } = await this.#retrying(this.uri(), () =>
      this.#client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix, Delimiter: '/' }), {
        abortSignal: this.#retryPolicy.signal,
      }),
    );
    return CommonPrefixes.map((each) => (each.Prefix ?? '').slice(Prefix.length, -1)).filter(
      isSegment,
    );
  }

  async #try<T>(
    name: string,
    attempt: (object: { Bucket: string; Key: string }, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    checkName(name);
    const object = { Bucket: this.#address.bucket, Key: keyOf(this.#address, name) };
    return await this.#retrying(this.uri(name), () => attempt(object, this.#retryPolicy.signal));
  }

  async #retrying<T>(uri: string, attempt: () => Promise<T>): Promise<T> {
    const request = { uri, bucket: this.#address.bucket, endpoint: this.#endpoint };
    return await withRetries(
      attempt,
      (error) => classifyS3Error(error, request),
      this.#retryPolicy,
    );
  }
}

/**
 * The error for a local file that cannot be read: the client neither ends the request nor says why.
 */
function unread(uri: string, reason: unknown): ClusterError {
  return new ClusterError(
    'STORE',
    `${uri} was not sent: the local file could not be read: ${messageOf(reason)}`,
    {
      fix: "check this machine's disk, then retry",
      cause: reason,
    },
  );
}

function ignore(): void {
  // Silences the client's logger.
}

/** Returns undefined for a missing object; a missing bucket is an error. */
function ifThere(error: unknown): undefined {
  if (error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound'))
    return undefined;
  throw error;
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request;
}
