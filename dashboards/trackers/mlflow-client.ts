import { systemCode } from '../../shared/disk/system-error.ts';
import { messageOf } from '../../shared/errors.ts';
import { visible } from '../../shared/printable.ts';
import {
  MAX_MLFLOW_ANSWER_BYTES,
  MAX_MLFLOW_COMPLAINT_CHARACTERS,
  MLFLOW_ANSWER_LIMIT_MILLISECONDS,
} from '../../shared/limits/tracker.ts';
import { z } from 'zod';

export interface MlflowServer {
  /** The address of the server, without a slash at its end. */
  readonly url: string;
  /** The value of the header Authorization; undefined for a server without authentication. */
  readonly authorization: string | undefined;
}

/** Why a request to MLflow failed. The message follows "MLflow at URL". */
export class MlflowError extends Error {
  /** Whether the same request may succeed later. */
  readonly isTemporary: boolean;
  /** MLflow's own code, such as RESOURCE_DOES_NOT_EXIST. */
  readonly code: string | undefined;

  constructor(message: string, isTemporary: boolean, code?: string) {
    super(message);
    this.isTemporary = isTemporary;
    this.code = code;
  }
}

interface Request {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** The type of the body. */
  readonly type?: string;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

const complaintSchema = z.object({ error_code: z.string(), message: z.string().default('') });
const TEMPORARY = new Set([408, 425, 429]);

/** The part of MLflow's REST API that a run needs. */
export class MlflowClient {
  readonly #server: MlflowServer;
  readonly #signal: AbortSignal;
  readonly #accepted: () => void;

  /** `signal` ends all requests; `accepted` is called after each that succeeded. */
  constructor(server: MlflowServer, signal: AbortSignal, accepted: () => void) {
    this.#server = server;
    this.#signal = signal;
    this.#accepted = accepted;
  }

  /** Calls a method with a body of JSON. Rejects with MlflowError, as do all methods. */
  async post<T>(method: string, body: object, schema: z.ZodType<T>): Promise<T> {
    return await this.#call(`/api/2.0/mlflow/${method}`, schema, {
      method: 'POST',
      type: 'application/json',
      body: JSON.stringify(body),
    });
  }

  /** Calls a method with parameters in its address. */
  async get<T>(
    method: string,
    parameters: Readonly<Record<string, string>>,
    schema: z.ZodType<T>,
  ): Promise<T> {
    const query = new URLSearchParams(parameters).toString();
    return await this.#call(`/api/2.0/mlflow/${method}?${query}`, schema, { method: 'GET' });
  }

  /** Sends a file to the server's artifact store. */
  async upload(path: string, bytes: Uint8Array<ArrayBuffer>, milliseconds: number): Promise<void> {
    const name = path.split('/').map(encodeURIComponent).join('/');
    await this.#call(
      `/api/2.0/mlflow-artifacts/artifacts/${name}`,
      z.unknown(),
      { method: 'PUT', type: 'application/octet-stream', body: bytes },
      milliseconds,
    );
  }

  async #call<T>(
    path: string,
    schema: z.ZodType<T>,
    request: Request,
    milliseconds = MLFLOW_ANSWER_LIMIT_MILLISECONDS,
  ): Promise<T> {
    const { url, authorization } = this.#server;
    const { method, type, body = null } = request;
    const headers = new Headers();
    if (authorization !== undefined) headers.set('authorization', authorization);
    if (type !== undefined) headers.set('content-type', type);
    const limit = AbortSignal.timeout(milliseconds);
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers,
        body,
        // A redirected POST would lose its body, and the credentials are for this address only.
        redirect: 'manual',
        signal: AbortSignal.any([this.#signal, limit]),
      });
      const text = await textOf(response);
      if (!response.ok) throw refusal(response, text);
      const answer = parsed(text, schema);
      this.#accepted();
      return answer;
    } catch (error) {
      if (error instanceof MlflowError) throw error;
      if (this.#signal.aborted)
        throw new MlflowError('did not answer before this command gave it up', true);
      if (limit.aborted)
        throw new MlflowError(`does not answer within ${milliseconds / 1000} s`, true);
      throw unreachable(error);
    }
  }
}

async function textOf({ body }: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  if (body === null) return '';
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  let bytes = 0;
  for (;;) {
    const { value: piece } = await reader.read();
    if (piece === undefined) break;
    bytes += piece.length;
    pieces.push(piece);
    if (bytes <= MAX_MLFLOW_ANSWER_BYTES) continue;
    await reader.cancel();
    throw new MlflowError(`answers with more than ${MAX_MLFLOW_ANSWER_BYTES} bytes`, false);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parsed<T>(text: string, schema: z.ZodType<T>): T {
  const { success, data } = schema.safeParse(jsonOf(text));
  if (success) return data;
  throw new MlflowError(`does not answer like an MLflow server: ${shown(text)}`, false);
}

/** The parsed text; undefined if it is not JSON. */
function jsonOf(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal({ status, headers }: Response, text: string): MlflowError {
  const complaint = complaintSchema.safeParse(jsonOf(text)).data;
  const isTemporary = status >= 500 || TEMPORARY.has(status);
  if (status >= 300 && status < 400)
    return new MlflowError(
      `sends requests on to ${shown(headers.get('location') ?? 'another address')}: use that one`,
      false,
    );
  if (status === 401)
    return new MlflowError(
      'does not accept the credentials: set MLFLOW_TRACKING_USERNAME and ' +
        `MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN (${shown(text)})`,
      false,
    );
  const what = complaint === undefined ? text : `${complaint.error_code}: ${complaint.message}`;
  return new MlflowError(
    `answers with ${status}${what === '' ? '' : `: ${shown(what)}`}`,
    isTemporary,
    complaint?.error_code,
  );
}

function unreachable(error: unknown): MlflowError {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = systemCode(cause);
  // Undici's message about several addresses is empty.
  const why = messageOf(cause) === '' ? (code ?? 'it cannot be reached') : messageOf(cause);
  const isCertificate = /CERT|SIGNATURE/.test(code ?? '');
  return new MlflowError(`cannot be reached: ${shown(why)}`, !isCertificate);
}

function shown(text: string): string {
  const line = visible(text.trim().replaceAll(/\s+/g, ' '));
  return line.length <= MAX_MLFLOW_COMPLAINT_CHARACTERS
    ? line
    : `${line.slice(0, MAX_MLFLOW_COMPLAINT_CHARACTERS)}...`;
}
