import { createServer } from 'node:http';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import { errorTable } from '../../../shared/errors.ts';
import { decodeFrame, encodeHeader } from '../../../shared/wire/frame.ts';
import { PROTOCOL } from '../../../shared/wire/messages.ts';
import { Authenticator } from '../../../coordinator/network/authenticator.ts';
import { isProven, proveUpgrades } from '../../fixtures/proven-client.ts';
import { configurationFixture } from '../../fixtures/configuration.ts';
import { listening } from '../../fixtures/listening.ts';
import { run } from '../../fixtures/processes/program.ts';
import { ARITHMETIC } from '../../../shared/arithmetic/version.ts';

const TOKEN = 'a-token-of-the-tests-0123456789';

const description = {
  protocol: PROTOCOL,
  arithmetic: ARITHMETIC,
  version: '9.9.9',
  run: 'r',
  frame_bytes: 1_000_000,
  data_bytes: 1000,
  class_names: ['0', '1'],
  configuration: configurationFixture,
};

/**
 * Starts a fake coordinator that describes its run like this and refuses every hello. Resolves with
 * its address.
 */
async function otherCoordinator(answer: object): Promise<{ url: string; hellos: unknown[] }> {
  const hellos: unknown[] = [];
  const authenticator = new Authenticator(TOKEN);
  const http = createServer((request, response) => {
    if (!isProven(authenticator, request, response)) return;
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  const sockets = new WebSocketServer({ server: http });
  proveUpgrades(authenticator, sockets);
  sockets.on('connection', (socket) => {
    socket.once('message', (data) => {
      if (Buffer.isBuffer(data)) hellos.push(decodeFrame(data).header);
      socket.send(encodeHeader({ kind: 'bye', code: 'VERSION', message: 'I speak protocol 42' }));
      socket.close(errorTable.VERSION.close);
    });
  });
  onTestFinished(() => sockets.close());
  return { url: `ws://127.0.0.1:${await listening(http)}`, hellos };
}

function join(url: string) {
  return run(['worker', '--engine', 'reference', '--coordinator', url], {
    MNIST_DIST_TOKEN: TOKEN,
  });
}

describe('a worker whose coordinator has another version', () => {
  it.each([
    [
      'protocol',
      { ...description, protocol: 42 },
      new RegExp(
        `has protocol 42, arithmetic ${ARITHMETIC}; this worker .mnist-dist \\S+ has protocol`,
      ),
    ],
    [
      'arithmetic',
      { ...description, arithmetic: 42 },
      new RegExp(
        `has protocol ${PROTOCOL}, arithmetic 42; this worker .mnist-dist \\S+ has protocol`,
      ),
    ],
    [
      'protocol, and a run it cannot read',
      { protocol: 42, arithmetic: 1, version: '9.9.9' },
      /9\.9\.9.*42/,
    ],
  ])('of the %s reports both versions and does not connect', async (_, answer, says) => {
    const { url, hellos } = await otherCoordinator(answer);
    const { code, output } = await join(url);
    expect(code, output).toBe(errorTable.VERSION.exit);
    expect(output).toMatch(says);
    expect(output).toMatch(
      /install the same version of mnist-dist .* npm install --global mnist-dist@9\.9\.9,/,
    );
    expect(hellos).toEqual([]);
  });

  it('and refuses only after hello prints the reason that the coordinator gives', async () => {
    const { url, hellos } = await otherCoordinator(description);
    const { code, output } = await join(url);
    expect(code, output).toBe(errorTable.VERSION.exit);
    expect(output).toMatch(/I speak protocol 42/);
    expect(hellos).toMatchObject([{ kind: 'hello', protocol: PROTOCOL, arithmetic: ARITHMETIC }]);
  });

  it('and asks for the token itself does not send the token', async () => {
    const heard: unknown[] = [];
    const http = createServer((request, response) => {
      heard.push(request.headers.authorization);
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer', Connection: 'close' }).end();
    });
    const { code, output } = await join(`ws://127.0.0.1:${await listening(http)}`);
    expect(code, output).toBe(errorTable.VERSION.exit);
    expect(output).toMatch(
      /\(mnist-dist 0\.1, protocol 2 or older\), which this worker \(mnist-dist/,
    );
    expect(output).toMatch(/on the coordinator's: npm install --global mnist-dist@\d/);
    expect(heard).toEqual([undefined]);
  });

  it('or is not a coordinator ends with PROTOCOL', async () => {
    const { url } = await otherCoordinator({ hello: 'world' });
    const { code, output } = await join(url);
    expect(code, output).toBe(errorTable.PROTOCOL.exit);
    expect(output).toMatch(/is this a coordinator\?/);
  });
});
