import { randomBytes } from 'node:crypto';
import { version } from '../package.ts';
import type { Peer } from '../../coordinator/network/peer.ts';
import { listen, type CoordinatorServer } from '../../coordinator/network/server.ts';
import { MNIST_DIGEST } from '../../shared/dataset/dataset.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import {
  CHECKSUM_BYTES,
  encodeBefore,
  encodePointer,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
  type Tensor,
  type TensorFrame,
} from '../../shared/wire/frame.ts';
import type { MemoryAddon } from '../../shared/wire/memory-addon.ts';
import { Rendezvous, type ChannelPeer } from '../../shared/wire/rendezvous.ts';
import { PeerMemory, SharedMemory } from '../../shared/wire/shared-memory.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { SHARED_MEMORY_BUFFERS } from '../../shared/limits.ts';
import {
  PROTOCOL,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../../shared/wire/messages.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import type { RunDescription } from '../../shared/wire/run-description.ts';
import type { BenchCertificate, ExchangeBench, Transport } from './exchange-bench.ts';
import { Changes } from './changes.ts';
import { MeasuredProcess } from './measured-process.ts';
import { MODEL, SEED, UPDATE } from './workload.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

const RUN = 'bench';

/** How tensors reach the wire workers. */
export type Way =
  | { readonly transport: 'tcp' }
  | { readonly transport: 'tls'; readonly certificate: BenchCertificate }
  | { readonly transport: 'shared memory'; readonly addon: MemoryAddon };

const names = {
  tcp: 'wire',
  tls: 'wire over TLS',
  'shared memory': 'wire through shared memory',
} as const;

interface Shared {
  readonly memory: SharedMemory;
  readonly channels: Rendezvous;
  readonly addon: MemoryAddon;
}

/**
 * The wire alone: this process acts as a coordinator that only sends weights and receives
 * gradients, using a real coordinator's listener, sockets and channels. Frames are encoded, parsed
 * and copied as in a run, but nothing is computed, not even a checksum.
 */
export class WireBench implements ExchangeBench {
  readonly name: string;
  readonly transport: Transport;
  readonly #certificate: BenchCertificate | undefined;
  readonly #shared: Shared | undefined;
  readonly #signal: AbortSignal;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #token = randomBytes(16).toString('hex');
  /** The workers that are ready. */
  readonly #connections: Peer[] = [];
  readonly #processes: MeasuredProcess[] = [];
  readonly #buffers: readonly Uint8Array[];
  readonly #gradient: Uint8Array;
  /** The workers that have not answered the current step. */
  readonly #asked = new Set<Peer>();
  #server: CoordinatorServer | undefined;
  readonly #changes = new Changes();
  #step = 0;

  constructor(way: Way, environment: NodeJS.ProcessEnv, signal: AbortSignal) {
    this.#certificate = way.transport === 'tls' ? way.certificate : undefined;
    this.name = names[way.transport];
    this.transport = way.transport;
    this.#environment = environment;
    this.#signal = signal;
    const weights = initialWeights(SEED, MODEL);
    this.#buffers = Array.from({ length: SHARED_MEMORY_BUFFERS }, () => {
      const buffer = new Uint8Array(frameCapacity(weights.byteLength));
      buffer.set(new Uint8Array(weights.buffer), MAX_FRAME_HEAD_BYTES);
      return buffer;
    });
    this.#gradient = new Uint8Array(weights.byteLength + 4);
    this.#shared = way.transport === 'shared memory' ? share(weights, way.addon) : undefined;
  }

  /** Size of the larger of the two frames, the gradient's. */
  get frameBytes(): number {
    return frameCapacity(this.#gradient.byteLength);
  }

  fail(error: unknown): void {
    this.#changes.tell(error);
  }

  async end(): Promise<void> {
    for (const connection of this.#connections) connection.close(undefined, 'the bench has ended');
    await Promise.all([...this.#processes.map((each) => each.end()), this.#server?.close()]);
    this.#shared?.channels.close();
    this.#shared?.memory.close();
  }

  async connect(workers: number): Promise<void> {
    this.#server ??= await this.#listen();
    const { port } = this.#server;
    while (this.#processes.length < workers) {
      const ca = this.#certificate?.ca;
      const task = { kind: 'wire', port, token: this.#token, ca } as const;
      const started = new MeasuredProcess('a wire worker', task, this.#environment);
      this.#processes.push(started);
      started.failed.catch((error: unknown) => this.#changes.tell(error));
    }
    this.#signal.throwIfAborted();
    await this.#changes.until(() => this.#connections.length >= workers);
  }

  async exchange(workers: number, isLast: () => boolean): Promise<void> {
    this.#signal.throwIfAborted();
    await this.#changes.exchange(
      () => this.#send(workers),
      () => this.#asked.size === 0,
      isLast,
    );
  }

  #send(workers: number): void {
    this.#step += 1;
    const index = this.#step % this.#buffers.length;
    const buffer = this.#buffers[index];
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
    let frame: TensorFrame | undefined;
    const peers: ChannelPeer[] = [];
    const body = buffer.subarray(MAX_FRAME_HEAD_BYTES, -CHECKSUM_BYTES);
    this.#shared?.memory.write(index, body, 0n);
    const pointer = encodePointer({ ...message, buffer: index }, 0n);
    for (const connection of connections) {
      this.#asked.add(connection);
      connection.sendWeights({
        message,
        peers,
        frame: () => (frame ??= encodeBefore(buffer, message)),
        pointer: () => pointer,
        hold: () => () => undefined,
      });
    }
    this.#shared?.channels.expect();
    if (peers.length > 0) this.#shared?.channels.publish(pointer, peers);
  }

  #hear(worker: Peer, message: WorkerMessage, tensor: Tensor | undefined): void {
    if (message.kind === 'ready') this.#connections.push(worker);
    if (message.kind === 'gradient') {
      if (!this.#asked.delete(worker) || message.step !== this.#step)
        return this.#changes.tell(new ClusterError('RUN_FAILED', 'a wire worker answered unasked'));
      tensor?.copyTo(this.#gradient);
    }
    this.#changes.tell();
  }

  async #listen(): Promise<CoordinatorServer> {
    // Coordinators tune the runtime as well.
    tuneRuntime();
    const shared = this.#shared;
    const description = {
      ...describe(this.#gradient.byteLength),
      ...(shared === undefined ? {} : { memory: shared.memory.address }),
    };
    return await listen(
      {
        host: '127.0.0.1',
        port: 0,
        token: this.#token,
        maxFrameBytes: description.frame_bytes,
        description: () => description,
        dataset: { digest: MNIST_DIGEST, bytes: new Uint8Array(0) },
        openMemory: (address) =>
          shared && new PeerMemory(address, this.#gradient.byteLength, shared.addon),
        channels: shared?.channels,
        version: description.version,
        warn: () => undefined,
        tls: this.#certificate,
      },
      {
        connected: (worker) => {
          const { slot } = worker;
          worker.send({ kind: 'welcome', run: RUN, term: 1, slot, session: '0'.repeat(32) });
        },
        message: (worker, message, tensor) => this.#hear(worker, message, tensor),
        control: () => undefined,
        disconnected: (_worker, reason) => {
          this.#changes.tell(new ClusterError('RUN_FAILED', `a wire worker was lost: ${reason}`));
        },
      },
    );
  }
}

function share(weights: Float32Array, addon: MemoryAddon): Shared {
  const memory = new SharedMemory(weights.byteLength, addon);
  assert(memory.mapped !== undefined, 'the addon maps the memory');
  return { memory, channels: new Rendezvous(addon, memory.mapped, 'auto'), addon };
}

/** The run description for wire workers, which use only its sizes. */
function describe(gradientBytes: number): RunDescription {
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
      model: MODEL,
      seed: SEED,
      batchSize: 32,
      virtualShards: 4,
      epochs: 1,
      trainSamples: 60_000,
      testSamples: 10_000,
      ...UPDATE,
    },
  };
}
