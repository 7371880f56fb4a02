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
/** Most servers that are not Amazon's take any region; this is the one they call their own. */
const DEFAULT_REGION = 'us-east-1';

/**
 * With the settings of the environment, as all of Amazon's programs read them. Rejects with USAGE
 * where they are not enough.
 */
export async function openS3Store(address: S3Address, retryPolicy: RetryPolicy): Promise<Store> {
  // It warns of the Node that it runs on; which of its versions runs on ours is settled by
  // package.json.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const endpoint = endpointOf(process.env);
  const config: S3ClientConfig = {
    // Servers that are older than these checksums refuse them. Ours is the SHA-256 of every object.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // We try again ourselves: the client cannot begin a stream anew.
    maxAttempts: 1,
    // It would write to the console what we say in our own words.
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
    throw new ClusterError(
      'USAGE',
      `${uriOf(address)} is in a region of Amazon's that nothing names`,
      {
        fix: "set AWS_REGION, or AWS_ENDPOINT_URL for a server that is not Amazon's",
      },
    );
  return new S3Store(
    address,
    new S3Client({ ...config, region: DEFAULT_REGION }),
    endpoint,
    retryPolicy,
  );
}

/** A server that is not Amazon's, if one is named. Throws USAGE. */
function endpointOf(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  for (const variable of ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL']) {
    const text = environment[variable] ?? '';
    if (text === '') continue;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const isServer = url !== undefined && /^https?:$/.test(url.protocol);
    if (isServer && url.username === '' && url.password === '') return text;
    const why = isServer ? 'holds a user or a password' : 'is no address of a server';
    throw new ClusterError('USAGE', `${variable}=${withoutUser(text)} ${why}`, {
      fix: `Allowed: http://HOST:PORT or https://HOST:PORT; for key and secret ${CREDENTIALS}.`,
    });
  }
  return undefined;
}

async function hasRegion(client: S3Client): Promise<boolean> {
  try {
    await client.config.region();
    return true;
  } catch {
    // It only says that there is none.
    return false;
  }
}

class S3Store implements Store {
  readonly #address: S3Address;
  readonly #client: S3Client;
  /** As it may be shown. */
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
      // It becomes part of what is signed, and the server compares it with what came.
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
      if (!(body instanceof Readable)) throw new Error('an object came without a stream');
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
 * The client neither ends a request whose stream fails nor says why, so this is ours to say; it is
 * not the server's fault.
 */
function unread(uri: string, reason: unknown): ClusterError {
  return new ClusterError(
    'STORE',
    `${uri} was not sent: what was to be read here failed: ${messageOf(reason)}`,
    {
      fix: 'see to the disk of this machine, then do the same again',
      cause: reason,
    },
  );
}

function ignore(): void {
  // Nothing to say.
}

/** Undefined for an object that is not there; a bucket that is not there is an error. */
function ifThere(error: unknown): undefined {
  if (error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound'))
    return undefined;
  throw error;
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request;
}
