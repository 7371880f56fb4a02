import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished, vi } from 'vitest';
import { openStore } from '../../artifacts/store/open-store.ts';
import type { Store } from '../../artifacts/store/store.ts';
import { noPatience } from './patience.ts';

export interface Request {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** What the server does with its n-th request, the last for all that follow. */
export type Answer = (response: ServerResponse, request: Request) => void;

/** An error as S3 says it. */
export const says =
  (status: number, code: string): Answer =>
  (response) =>
    response
      .writeHead(status, { 'Content-Type': 'application/xml' })
      .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>words of the server</Message></Error>`);

export const gives =
  (text: string): Answer =>
  (response) =>
    response.writeHead(200, { 'Content-Length': Buffer.byteLength(text) }).end(text);

/** What no server should say, but some day one will: no S3, only the answers that a test wants. Ends with its test. */
export async function scripted(
  ...answers: readonly Answer[]
): Promise<{ store: Store; requests: Request[]; waits: number[]; url: string }> {
  const requests: Request[] = [];
  const waits: number[] = [];
  const server = createServer((incoming, response) => {
    void (async () => {
      let body = '';
      for await (const part of incoming.setEncoding('utf8')) body += String(part);
      const { method = '', url = '', headers } = incoming;
      const request = { method, url, headers, body };
      requests.push(request);
      answers[Math.min(requests.length, answers.length) - 1]?.(response, request);
    })();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    vi.unstubAllEnvs();
    server.closeAllConnections();
    server.close();
  });
  // A listening server's address is that of a port, not of a pipe.
  // By a name: in front of an address no client would put the bucket's.
  const url = `http://localhost:${(server.address() as AddressInfo).port}`;
  vi.stubEnv('AWS_ENDPOINT_URL', url);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'key');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  const store = await openStore({ kind: 's3', bucket: 'bucket', prefix: 'a/b' }, noPatience(waits));
  return { store, requests, waits, url };
}
