import { once } from 'node:events';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { WebSocket, type WebSocketServer } from 'ws';
import type { Authenticator } from '../../coordinator/network/authenticator.ts';
import { answerHeader, newNonce, nonceOfChallenge, proofOf, workerPath } from '../../shared/wire/proof.ts';
import { prepareRequest, type ProvenRequest } from '../../worker/proven-request.ts';

/** What a worker answers to a challenge without TLS; undefined where the head of an answer has none. */
export function answerTo(head: string, token: string, target: string): string | undefined {
  const coordinatorNonce = nonceOfChallenge(/^www-authenticate: (.*?)\r?$/im.exec(head)?.[1]);
  if (coordinatorNonce === undefined) return undefined;
  const workerNonce = newNonce();
  const proof = proofOf(token, 'worker', { coordinatorNonce, workerNonce, channel: '', target });
  return answerHeader(workerNonce, proof);
}

/** The next request for this path, on a connection over which the coordinator has given its challenge. */
export function prove(url: string, path: string, token: string): Promise<ProvenRequest> {
  const signal = AbortSignal.timeout(60_000);
  return prepareRequest({ coordinator: new URL(url), path, token: () => token, secure: undefined, signal });
}

/** The answer to one GET with a proof of this token. */
export async function getProven(
  url: string,
  path: string,
  token: string,
  headers: Record<string, string> = {},
): Promise<{ status: number | undefined; body: Buffer }> {
  const proven = await prove(url, path, token);
  const asked = get(new URL(path, url.replace(/^ws/, 'http')), {
    agent: proven.agent,
    headers: { ...headers, ...proven.headers },
  });
  const response: IncomingMessage = (await once(asked, 'response'))[0];
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(Buffer.from(part));
  return { status: response.statusCode, body: Buffer.concat(parts) };
}

/** A WebSocket to the coordinator, as a worker of its run has it. */
export async function workerSocket(url: string, token: string): Promise<WebSocket> {
  const { body } = await getProven(url, '/run', token);
  const description: unknown = JSON.parse(body.toString());
  const run =
    typeof description === 'object' && description !== null && 'run' in description && description.run;
  if (typeof run !== 'string') throw new Error('this describes no run');
  const path = workerPath(run);
  const { agent, headers } = await prove(url, path, token);
  return new WebSocket(`${url}${path}`, { agent, headers });
}

/** As a coordinator without a run answers: true where the request has a proof, and the response the coordinator's own. */
export function isProven(
  authenticator: Authenticator,
  request: IncomingMessage,
  response: ServerResponse,
): boolean {
  const verdict = authenticator.judge(request);
  if (verdict.kind === 'admitted') response.setHeader('Authentication-Info', verdict.confirmation);
  else if (verdict.kind === 'challenged')
    response.writeHead(401, { 'WWW-Authenticate': verdict.challenge }).end();
  else response.writeHead(401, { Connection: 'close' }).end();
  return verdict.kind === 'admitted';
}

/** Adds the coordinator's proof to the answer of an upgrade. */
export function proveUpgrades(authenticator: Authenticator, webSockets: WebSocketServer): void {
  webSockets.on('headers', (headers, request) => {
    const verdict = authenticator.judge(request);
    if (verdict.kind === 'admitted') headers.push(`Authentication-Info: ${verdict.confirmation}`);
  });
}
