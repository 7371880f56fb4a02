import { CreateBucketCommand, HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { whyMissing } from '../../fixtures/processes/installed.ts';

const script = fileURLToPath(new URL('swift.mjs', import.meta.url));
const programs = [
  'swift-proxy-server',
  'swift-account-server',
  'swift-container-server',
  'swift-object-server',
  'swift-ring-builder',
  'memcached',
];

/** Why there is no server to test with; undefined if there is one. */
export const missing = whyMissing(programs);
export const why = missing === undefined ? '' : `: ${missing}`;

const ready = z.object({ pid: z.int(), environment: z.record(z.string(), z.string()) });

/** An S3 server that can be killed, and restarted with the data that it had stored. */
export class Swift {
  readonly #data = mkdtempSync(join(tmpdir(), 'mnist-dist-swift-data-'));
  readonly #port: number;
  #environment: Readonly<Record<string, string>> = {};
  #pid = 0;
  #end: (() => Promise<void>) | undefined;

  private constructor(port: number) {
    this.#port = port;
  }

  static async start(): Promise<Swift> {
    const swift = new Swift(await freePort());
    await swift.restart();
    return swift;
  }

  /** The environment variables of the AWS CLI and SDKs. */
  get environment(): Readonly<Record<string, string>> {
    return this.#environment;
  }

  get port(): number {
    return this.#port;
  }

  /**
   * Immediately kills the process that takes requests, even during a request; the others end next.
   */
  kill(): void {
    process.kill(this.#pid, 'SIGKILL');
  }

  async restart(): Promise<void> {
    await this.#end?.();
    const child = spawn(
      process.execPath,
      [script, '--data', this.#data, '--port', String(this.#port)],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    let complaint = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text;
    });
    const closed = once(child, 'close');
    // Writing to a script that has already ended is an error.
    child.stdin.on('error', () => undefined);
    this.#end = async () => {
      child.stdin.end();
      await closed;
    };
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done === true) throw new Error(`Swift did not start:\n${complaint}`);
    const { pid, environment } = ready.parse(JSON.parse(first.value));
    this.#pid = pid;
    this.#environment = environment;
  }

  async stop(): Promise<void> {
    await this.#end?.();
    rmSync(this.#data, { recursive: true, force: true });
  }

  async makeBucket(name: string): Promise<void> {
    await this.#client().send(new CreateBucketCommand({ Bucket: name }));
  }

  async typeOf(bucket: string, key: string): Promise<string | undefined> {
    const { ContentType } = await this.#client().send(
      new HeadObjectCommand({ Bucket: bucket, Key: key }),
    );
    return ContentType;
  }

  #client(): S3Client {
    const { AWS_ENDPOINT_URL: endpoint = '', AWS_REGION: region = '' } = this.#environment;
    const { AWS_ACCESS_KEY_ID: accessKeyId = '', AWS_SECRET_ACCESS_KEY: secretAccessKey = '' } =
      this.#environment;
    return new S3Client({
      endpoint,
      region,
      credentials: { accessKeyId, secretAccessKey },
      forcePathStyle: true,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
    });
  }
}
