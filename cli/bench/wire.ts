import { randomBytes } from 'node:crypto';
import { version } from '../package.ts';
import type { Peer } from '../../coordinator/network/peer.ts';
import { listen, type CoordinatorServer } from '../../coordinator/network/server.ts';
import { MNIST_DIGEST } from '../../shared/dataset/dataset.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { encodeBefore, MAX_FRAME_HEAD_BYTES, frameCapacity } from '../../shared/wire/frame.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { SHARED_MEMORY_BUFFERS } from '../../shared/limits.ts';
import { PROTOCOL, type CoordinatorMessage } from '../../shared/wire/messages.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import type { RunDescription } from '../../shared/wire/run-description.ts';
import type { BenchCertificate, ExchangeBench, Transport } from './exchange-bench.ts';
import { MeasuredProcess } from './measured-process.ts';
import { DROPOUT, MODEL, SEED } from './workload.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

const RUN = 'bench';
/** The exchange in progress. */
interface Exchange {
  missing: number;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * The wire alone: this process acts as a coordinator that only sends weights and receives
 * gradients, using a real coordinator's listener and sockets. Frames are encoded, parsed and copied
 * as in a run, but nothing is computed, not even a checksum.
 */
export class WireBench implements ExchangeBench {
  readonly name: string;
  readonly transport: Transport;
  readonly #certificate: BenchCertificate | undefined;
  readonly #signal: AbortSignal;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #token = randomBytes(16).toString('hex');
  readonly #connections: Peer[] = [];
  readonly #processes: MeasuredProcess[] = [];
  readonly #buffers: readonly Uint8Array[];
  readonly #gradient: Uint8Array;
  #server: CoordinatorServer | undefined;
  #exchange: Exchange | undefined;
  #step = 0;

  /** Uses TLS if a certificate is given. */
  constructor(
    certificate: BenchCertificate | undefined,
    environment: NodeJS.ProcessEnv,
    signal: AbortSignal,
  ) {
    this.#certificate = certificate;
    this.name = certificate === undefined ? 'wire' : 'wire over TLS';
    this.transport = certificate === undefined ? 'tcp' : 'tls';
    this.#environment = environment;
    this.#signal = signal;
    const weights = initialWeights(SEED, MODEL);
    this.#buffers = Array.from({ length: SHARED_MEMORY_BUFFERS }, () => {
      const buffer = new Uint8Array(frameCapacity(weights.byteLength));
      buffer.set(new Uint8Array(weights.buffer), MAX_FRAME_HEAD_BYTES);
      return buffer;
    });
    this.#gradient = new Uint8Array(weights.byteLength + 4);
  }

  /** Size of the larger of the two frames, the gradient's. */
  get frameBytes(): number {
    return frameCapacity(this.#gradient.byteLength);
  }

  fail(error: unknown): void {
    this.#exchange?.failed(error);
  }

  async end(): Promise<void> {
    for (const connection of this.#connections) connection.close(undefined, 'the bench has ended');
    await Promise.all([...this.#processes.map((each) => each.end()), this.#server?.close()]);
  }

  async connect(workers: number): Promise<void> {
    this.#server ??= await this.#listen();
    const { port } = this.#server;
    while (this.#processes.length < workers) {
      const ca = this.#certificate?.ca;
      const task = { kind: 'wire', port, token: this.#token, ca } as const;
      const started = new MeasuredProcess('a wire worker', task, this.#environment);
      this.#processes.push(started);
      started.failed.catch((error: unknown) => this.#exchange?.failed(error));
    }
    const missing = workers - this.#connections.length;
    if (missing > 0) await this.#waitFor(missing);
  }

  async exchange(workers: number): Promise<void> {
    this.#step += 1;
    const buffer = this.#buffers[this.#step % this.#buffers.length];
    assert(buffer !== undefined, 'there is a frame of weights');
    const connections = this.#connections.slice(0, workers);
    const assignment = connections.map(({ slot }, i) => [slot, i + 1]);
    const message: CoordinatorMessage = {
      kind: 'step',
      run: RUN,
      term: 1,
      step: this.#step,
      assignment,
    };
    const answered = this.#waitFor(workers);
    const frame = encodeBefore(buffer, message);
    for (const connection of connections)
      connection.sendWeights({
        message,
        peers: [],
        frame: () => frame,
        pointer: () => frame.bytes,
        hold: () => () => undefined,
      });
    await answered;
  }

  /**
   * Resolves after `missing` more connections or gradients; rejects if a worker is lost, and on
   * Ctrl-C.
   */
  async #waitFor(missing: number): Promise<void> {
    this.#signal.throwIfAborted();
    await new Promise<void>((done, failed) => (this.#exchange = { missing, done, failed }));
  }

  #arrived(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    exchange.missing -= 1;
    if (exchange.missing === 0) exchange.done();
  }

  async #listen(): Promise<CoordinatorServer> {
    // Coordinators tune the runtime as well.
    tuneRuntime();
    const description = describe(this.#gradient.byteLength);
    return await listen(
      {
        host: '127.0.0.1',
        port: 0,
        token: this.#token,
        maxFrameBytes: description.frame_bytes,
        description: () => description,
        dataset: { digest: MNIST_DIGEST, bytes: new Uint8Array(0) },
        openMemory: () => undefined,
        version: description.version,
        warn: () => undefined,
        tls: this.#certificate,
      },
      {
        connected: (connection) => {
          this.#connections.push(connection);
          this.#arrived();
        },
        message: (_connection, _message, tensor) => {
          if (tensor?.byteLength === this.#gradient.byteLength) tensor.copyTo(this.#gradient);
          this.#arrived();
        },
        control: () => undefined,
        disconnected: (_connection, reason) => {
          this.#exchange?.failed(
            new ClusterError('RUN_FAILED', `a wire worker was lost: ${reason}`),
          );
        },
      },
    );
  }
}

/** The run description for wire workers, which use only its sizes. */
function describe(gradientBytes: number): RunDescription {
  const adam = { learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
  return {
    protocol: PROTOCOL,
    arithmetic: ARITHMETIC,
    version,
    run: RUN,
    frame_bytes: frameCapacity(gradientBytes),
    data_bytes: 1,
    class_names: [],
    configuration: {
      dataset: MNIST_DIGEST,
      model: { ...MODEL, hidden: [...MODEL.hidden] },
      dropout: DROPOUT,
      seed: SEED,
      batchSize: 32,
      virtualShards: 4,
      epochs: 1,
      trainSamples: 60_000,
      testSamples: 10_000,
      ...adam,
    },
  };
}
