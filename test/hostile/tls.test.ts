import { once } from 'node:events';
import { get } from 'node:https';
import { connect } from 'node:net';
import { connect as secure } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listen, type CoordinatorServer } from '../../coordinator/server.ts';
import { TestAuthority } from '../worker/certificates.ts';
import { TOKEN } from './honest.ts';

const nobody = { connected: () => undefined, message: () => undefined, disconnected: () => undefined };

async function startServer(): Promise<{ server: CoordinatorServer; port: number; ca: string }> {
  const authority = await TestAuthority.make();
  const server = await listen(
    {
      ...{ host: '127.0.0.1', port: 0, token: TOKEN, maxFrameBytes: 1000, tls: await authority.server() },
      dataset: { digest: '0'.repeat(64), bytes: new Uint8Array(1) },
      ...{ description: () => ({ secret: 1 }), openMemory: () => undefined },
    },
    nobody,
  );
  onTestFinished(() => server.close());
  return { server, port: server.port, ca: authority.pair.certificate };
}

/** All that a listener says to these bytes, until it ends the connection. */
async function answerTo(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const parts: Buffer[] = [];
  socket.on('error', () => undefined).on('data', (part) => parts.push(part));
  socket.write(bytes, 'latin1');
  await once(socket, 'close');
  return Buffer.concat(parts).toString('latin1');
}

async function ask(port: number, ca: string, path: string, headers: object): Promise<number | undefined> {
  const asked = get({ host: '127.0.0.1', port, path, ca, headers: { ...headers }, agent: false });
  const [response] = await once(asked, 'response');
  response.resume();
  return response.statusCode;
}

describe('a coordinator that speaks TLS', () => {
  it('has no answer in the clear, whatever it is sent, with the token or without', async () => {
    const { port } = await startServer();
    for (const bytes of [
      `GET /run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`,
      // A client hello of TLS 1.3 whose length is a lie, and noise.
      '\x16\x03\x01\xff\xff' + 'x'.repeat(2000),
      '\0'.repeat(100),
    ]) {
      const said = await answerTo(port, bytes);
      expect(said).not.toMatch(/HTTP|secret/);
      // An alert of TLS, or nothing.
      expect(said === '' || said.startsWith('\x15\x03'), said).toBe(true);
    }
  });

  it('answers 401 there to whoever lacks the token, and speaks nothing older than TLS 1.3', async () => {
    const { port, ca, server } = await startServer();
    expect(await ask(port, ca, '/run', {})).toBe(401);
    expect(await ask(port, ca, '/run', { authorization: `Bearer ${TOKEN}x` })).toBe(401);
    expect(server.unauthorized).toBe(2);
    expect(await ask(port, ca, '/run', { authorization: `Bearer ${TOKEN}` })).toBe(200);
    const old = secure({ host: '127.0.0.1', port, ca, maxVersion: 'TLSv1.2' });
    await expect(once(old, 'secureConnect')).rejects.toThrow(/alert protocol version/);
  });

  it('gives up whoever does not shake hands', { timeout: 60_000 }, async () => {
    const { port, ca } = await startServer();
    const said = await Promise.all(['', '\x16\x03\x01'].map((bytes) => answerTo(port, bytes)));
    expect(said).toEqual(['', '']);
    const silent = secure({ host: '127.0.0.1', port, ca });
    onTestFinished(() => void silent.destroy());
    await once(silent, 'secureConnect');
    silent.resume();
    await once(silent, 'close');
  });
});
