import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as secure } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listen, type CoordinatorServer } from '../../coordinator/network/server.ts';
import { ClusterError } from '../../shared/errors.ts';
import { ConnectionProgress } from '../../worker/connection-progress.ts';
import { getOver, prepareRequest } from '../../worker/proven-request.ts';
import { TestAuthority } from '../fixtures/certificates.ts';
import { TOKEN } from './honest.ts';

const ignored = {
  connected: () => undefined,
  message: () => undefined,
  control: () => undefined,
  disconnected: () => undefined,
};

async function startServer(): Promise<{
  server: CoordinatorServer;
  port: number;
  ca: string;
  warnings: string[];
}> {
  const authority = await TestAuthority.make();
  const warnings: string[] = [];
  const server = await listen(
    {
      host: '127.0.0.1',
      port: 0,
      token: TOKEN,
      maxFrameBytes: 1000,
      tls: await authority.server(),
      dataset: { digest: '0'.repeat(64), bytes: new Uint8Array(1) },
      description: () => ({ run: 'r', secret: 1 }),
      version: '0',
      openMemory: () => undefined,
      warn: (line) => warnings.push(line),
    },
    ignored,
  );
  onTestFinished(() => server.close());
  return { server, port: server.port, ca: authority.pair.certificate, warnings };
}

/** Everything that a server sends in response to these bytes until it closes the connection. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const parts: Buffer[] = [];
  socket.on('error', () => undefined).on('data', (part) => parts.push(part));
  socket.write(bytes, 'latin1');
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts).toString('latin1');
}

/** The status of the response to GET /run, or the error's code. */
async function ask(port: number, ca: string, token: string): Promise<unknown> {
  const signal = AbortSignal.timeout(60_000);
  const secure = { ca, allowPartialTrustChain: true, minVersion: 'TLSv1.3' } as const;
  const coordinator = new URL(`wss://127.0.0.1:${port}`);
  const request = {
    version: '0.2.0',
    coordinator,
    path: '/run',
    token: () => token,
    secure,
    progress: new ConnectionProgress(coordinator),
    signal,
  };
  try {
    const proven = await prepareRequest(request);
    const response = await getOver(request, proven.agent, proven.headers);
    proven.check(response);
    return response.resume().statusCode;
  } catch (error) {
    return error instanceof ClusterError ? error.code : error;
  }
}

describe('a coordinator that speaks TLS', () => {
  it('never answers in cleartext, with or without the token', async () => {
    const { port } = await startServer();
    for (const bytes of [
      `GET /run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`,
      // A TLS 1.3 client hello with a wrong length, and noise.
      '\x16\x03\x01\xff\xff' + 'x'.repeat(2000),
      '\0'.repeat(100),
    ]) {
      const said = await answerTo(port, bytes);
      expect(said).not.toMatch(/HTTP|secret/);
      // A TLS alert, or nothing.
      expect(said === '' || said.startsWith('\x15\x03'), said).toBe(true);
    }
  });

  it('answers only peers with the token, and accepts nothing older than TLS 1.3', async () => {
    const { port, ca, server, warnings } = await startServer();
    expect(await ask(port, ca, `${TOKEN}x`)).toBe('UNAUTHORIZED');
    expect(server.unauthorized).toBe(1);
    expect(warnings).toEqual([
      expect.stringMatching(/refused 1 connection from 127\.0\.0\.1: no proof of the token/),
    ]);
    expect(await ask(port, ca, TOKEN)).toBe(200);
    const old = secure({ host: '127.0.0.1', port, ca, maxVersion: 'TLSv1.2' });
    await expect(once(old, 'secureConnect')).rejects.toThrow(/alert protocol version/);
  });

  it('closes a connection without a TLS handshake', { timeout: 60_000 }, async () => {
    const { port, ca } = await startServer();
    const said = await Promise.all(['', '\x16\x03\x01'].map((bytes) => answerTo(port, bytes)));
    expect(said).toEqual(['', '']);
    const silent = secure({ host: '127.0.0.1', port, ca });
    onTestFinished(() => void silent.destroy());
    await once(silent, 'secureConnect');
    silent.on('error', () => undefined).resume();
    await new Promise((resolve) => silent.once('close', resolve));
  });
});
