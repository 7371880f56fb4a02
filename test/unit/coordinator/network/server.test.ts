import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as secure } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { LeaveCause, Peer } from '../../../../coordinator/network/peer.ts';
import type { ServerTls } from '../../../../coordinator/network/http-server.ts';
import { listen } from '../../../../coordinator/network/server.ts';
import { createKernels } from '../../../../shared/kernels/kernels.ts';
import {
  CHECKSUM_BYTES,
  encodeBefore,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
} from '../../../../shared/wire/frame.ts';
import type { Tensor } from '../../../../shared/wire/frame.ts';
import {
  DATA_PIECE_BYTES,
  MIN_DATA_BYTES_PER_SECOND,
  REQUEST_LIMIT_MILLISECONDS,
} from '../../../../shared/limits.ts';
import { PROTOCOL, type WorkerMessage } from '../../../../shared/wire/messages.ts';
import { plainRequest, upgradeRequest, WORKER_PATH } from '../../../hostile/frames.ts';
import { TestAuthority } from '../../../fixtures/certificates.ts';
import { answerTo, getProven } from '../../../fixtures/proven-client.ts';
import { gradientHeader } from '../../../fixtures/tensor-frame.ts';
import { ARITHMETIC } from '../../../../shared/arithmetic/version.ts';

const TOKEN = 'a-token-of-the-tests-0123456789';
const FLOATS = 101_771;
const MAX_FRAME_BYTES = frameCapacity(4 * FLOATS);
/** The approximate number of TCP payload bytes in one Ethernet frame. */
const WRITE_BYTES = 1400;

interface Arrival {
  readonly message: WorkerMessage;
  readonly tensor: Tensor | undefined;
}

/** A listener. Its first message, or the reason why the connection ended, can be awaited. */
async function startServer(bytes = new Uint8Array(1), tls?: ServerTls) {
  let arrive: (arrival: Arrival) => void = () => undefined;
  let leave: (reason: string, cause: LeaveCause) => void = () => undefined;
  const arrived = new Promise<Arrival>((resolve) => (arrive = resolve));
  const left = new Promise<{ reason: string; cause: LeaveCause }>((resolve) => {
    leave = (reason, cause) => resolve({ reason, cause });
  });
  const connections: Peer[] = [];
  const warnings: string[] = [];
  const server = await listen(
    {
      host: '127.0.0.1',
      port: 0,
      token: TOKEN,
      tls,
      maxFrameBytes: MAX_FRAME_BYTES,
      dataset: { digest: '0'.repeat(64), bytes },
      description: () => ({ run: 'r' }),
      version: '0.2.0',
      openMemory: () => undefined,
      warn: (line) => warnings.push(line),
    },
    {
      connected: (connection) => connections.push(connection),
      message: (_, message, tensor) => arrive({ message, tensor }),
      control: () => undefined,
      disconnected: (_, reason, cause) => leave(reason, cause),
    },
  );
  onTestFinished(async () => {
    for (const connection of connections) connection.terminate('the test has ended');
    await server.close();
  });
  return { port: server.port, arrived, left, connections, server, warnings };
}

/** The bare TCP connection of a worker that has upgraded. */
async function upgrade(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setNoDelay();
  onTestFinished(() => void socket.destroy());
  socket.write(plainRequest(WORKER_PATH));
  const [challenge] = await once(socket, 'data');
  const proof = answerTo(String(challenge), TOKEN, `GET ${WORKER_PATH}`);
  socket.write(upgradeRequest(proof ?? null));
  const [answer] = await once(socket, 'data');
  expect(String(answer)).toMatch(/^HTTP\/1.1 101 /);
  return socket;
}

/** A binary WebSocket message (RFC 6455, section 5.2) with a mask of zeros. */
function webSocketMessage(payload: Uint8Array): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x82;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}

async function writeInPieces(socket: Socket, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += WRITE_BYTES)
    await new Promise((resolve) => socket.write(bytes.subarray(at, at + WRITE_BYTES), resolve));
}

describe('the listener', () => {
  it('does not blame a peer for a connection that ends because the listener closes', async () => {
    const { port, server, warnings } = await startServer();
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    socket.write(plainRequest('/run'));
    await once(socket, 'data');
    await server.close();
    await once(socket, 'close');
    expect(warnings).toEqual([]);
    expect(server.unauthorized).toBe(0);
  });

  it('closes a download that is too slow, and says so in the log', async () => {
    const bytes = new Uint8Array(64 * 1024 ** 2);
    const { port, warnings } = await startServer(bytes);
    const timers = vi.spyOn(globalThis, 'setTimeout');
    onTestFinished(() => timers.mockRestore());
    const path = `/data/${'0'.repeat(64)}`;
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    socket.write(plainRequest(path));
    const [challenge] = await once(socket, 'data');
    socket.write(plainRequest(path, answerTo(String(challenge), TOKEN, `GET ${path}`)));
    await once(socket, 'data');
    socket.pause();
    const milliseconds =
      REQUEST_LIMIT_MILLISECONDS + (1000 * bytes.length) / MIN_DATA_BYTES_PER_SECOND;
    const [expire] = timers.mock.calls.find(([, wait]) => wait === milliseconds) ?? [];
    expire?.();
    expect(warnings).toEqual([expect.stringContaining('reads the dataset at less than 65536')]);
    socket.resume();
    await once(socket, 'close');
    expect(socket.bytesRead).toBeLessThan(bytes.length);
  });

  it('assembles the largest frame from writes of 1,400 bytes', async () => {
    const { port, arrived } = await startServer();
    const kernels = createKernels(2 * MAX_FRAME_BYTES);
    const start = kernels.allocate(MAX_FRAME_BYTES);
    const values = kernels.floats(start + MAX_FRAME_HEAD_BYTES, FLOATS);
    values.forEach((_, i) => (values[i] = Math.fround(Math.sin(i))));
    const { checksum } = kernels.check(start + MAX_FRAME_HEAD_BYTES, FLOATS);
    const buffer = kernels.bytes(start, MAX_FRAME_BYTES);
    new DataView(buffer.buffer, buffer.byteOffset + buffer.length - CHECKSUM_BYTES).setBigUint64(
      0,
      checksum,
      true,
    );
    const frame = encodeBefore(buffer, gradientHeader).bytes;

    await writeInPieces(await upgrade(port), webSocketMessage(frame));
    const { message, tensor } = await arrived;
    expect(message).toEqual(gradientHeader);
    expect(tensor?.checksum).toBe(checksum);
    const received = new Float32Array(FLOATS);
    expect(tensor?.copyTo(new Uint8Array(received.buffer))).toBe(true);
    expect(Buffer.from(received.buffer).equals(Buffer.from(values.slice().buffer))).toBe(true);
  });

  it('closes a connection that announces too large a frame, before the frame arrives', async () => {
    const { port, left } = await startServer();
    const socket = await upgrade(port);
    socket.write(webSocketMessage(Buffer.alloc(MAX_FRAME_BYTES + 1)).subarray(0, 100));
    expect(await left).toMatchObject({
      reason: expect.stringMatching(/Max payload size exceeded/),
    });
  });

  it("counts a connection's bytes, and measures its round trip", async () => {
    const { port, connections } = await startServer();
    const socket = await upgrade(port);
    const [connection] = connections;
    if (connection === undefined) throw new Error('no worker is connected');
    const before = connection.traffic();
    expect(before.roundTripMilliseconds).toBeUndefined();
    // A heartbeat, and a ping without a payload. A masked pong without a payload answers it.
    const heard = once(socket, 'data');
    connection.beat();
    const [bytes] = await heard;
    const sent = Buffer.from(bytes);
    expect(sent.subarray(-2)).toEqual(Buffer.of(0x89, 0));
    socket.write(Buffer.of(0x8a, 0x80, 0, 0, 0, 0));
    while (connection.traffic().roundTripMilliseconds === undefined)
      await new Promise((resolve) => setImmediate(resolve));
    const after = connection.traffic();
    expect(after.roundTripMilliseconds).toBeGreaterThan(0);
    expect(after.sentBytes - before.sentBytes).toBe(sent.length);
    expect(after.receivedBytes - before.receivedBytes).toBe(6);
  });

  it('sends one ping at a time, so that a late pong is measured in full', async () => {
    const { port, connections } = await startServer();
    const socket = await upgrade(port);
    const [connection] = connections;
    if (connection === undefined) throw new Error('no worker is connected');
    let received = Buffer.alloc(0);
    socket.on('data', (bytes) => (received = Buffer.concat([received, Buffer.from(bytes)])));
    for (let i = 0; i < 3; i++) connection.beat();
    connection.close('TIMEOUT', 'the test has ended');
    await once(socket, 'end');
    const pings = received.indexOf(Buffer.of(0x89, 0));
    expect(pings).toBeGreaterThan(0);
    expect(received.indexOf(Buffer.of(0x89, 0), pings + 1)).toBe(-1);
  });

  it('counts requests without a proof of the token, and logs their addresses', async () => {
    const { port, server, warnings } = await startServer();
    for (const path of ['run', 'worker']) {
      const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
        headers: { Authorization: 'x' },
      });
      expect(response.status).toBe(401);
    }
    expect(server.unauthorized).toBe(2);
    // The first refusal for an address is logged; further ones are counted.
    expect(warnings).toEqual([expect.stringContaining('refused 1 connection from 127.0.0.1')]);
  });

  it('counts a peer that leaves after it was challenged', async () => {
    const { port, server, warnings } = await startServer();
    const socket = connect(port, '127.0.0.1');
    socket.write(plainRequest('/run'));
    await once(socket, 'data');
    socket.destroy();
    while (server.unauthorized === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(warnings).toEqual([expect.stringContaining('no proof of the token')]);
  });

  it('logs the address of a peer that has reset its TLS connection', async () => {
    const authority = await TestAuthority.make();
    const { port, server, warnings } = await startServer(undefined, await authority.server());
    const tcp = connect(port, '127.0.0.1').on('error', () => undefined);
    const socket = secure({ socket: tcp, host: '127.0.0.1', ca: authority.pair.certificate });
    socket.on('error', () => undefined);
    await once(socket, 'secureConnect');
    socket.write('GET /run HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\n\r\n', () =>
      tcp.resetAndDestroy(),
    );
    while (server.unauthorized === 0) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(warnings).toEqual([
      expect.stringContaining('refused 1 connection from 127.0.0.1: no proof of the token'),
    ]);
    expect(server.unauthorized).toBe(1);
  });

  it('tells an older worker, which sends the token itself, only the versions', async () => {
    const { port, warnings } = await startServer();
    const ask = async (token: string) => {
      const headers = { Authorization: `Bearer ${token}` };
      const response = await fetch(`http://127.0.0.1:${port}/run`, { headers });
      return { status: response.status, text: await response.text() };
    };
    const versions = { protocol: PROTOCOL, arithmetic: ARITHMETIC, version: '0.2.0' };
    expect(await ask(TOKEN)).toEqual({ status: 200, text: JSON.stringify(versions) });
    expect(warnings).toEqual([
      expect.stringMatching(
        /an older mnist-dist \(0\.1, .*; this coordinator is mnist-dist 0\.2\.0,/,
      ),
    ]);
    expect(warnings[0]).toContain('npm install --global mnist-dist@0.2.0');
    expect((await ask(`${TOKEN}x`)).status).toBe(401);
  });

  it('sends a dataset piece by piece, starting at any byte', async () => {
    const bytes = new Uint8Array(2.5 * DATA_PIECE_BYTES).map((_, i) => i % 251);
    const { port } = await startServer(bytes);
    for (const from of [0, 1, DATA_PIECE_BYTES, bytes.length - 1]) {
      const range = { Range: `bytes=${from}-` };
      const { body } = await getProven(
        `http://127.0.0.1:${port}`,
        `/data/${'0'.repeat(64)}`,
        TOKEN,
        range,
      );
      expect(body.equals(bytes.subarray(from))).toBe(true);
    }
  });

  it('reports why a connection ended', async () => {
    const { port, connections, left } = await startServer();
    await upgrade(port);
    connections[0]?.close('TIMEOUT', 'silent');
    expect(await left).toEqual({ reason: 'silent', cause: 'TIMEOUT' });
  });
});
