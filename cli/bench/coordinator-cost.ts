import { Driver, type RunObserver } from '../../coordinator/driver.ts';
import { initialState } from '../../coordinator/decisions/state.ts';
import type { Peer } from '../../coordinator/network/peer.ts';
import { Predictions } from '../../coordinator/predictions.ts';
import { readOnlyPolicy } from '../../coordinator/serve.ts';
import { Tensors, type OutgoingWeights } from '../../coordinator/tensors.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';
import { denseModel } from '../../shared/arithmetic/model-shape.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import { defaultVirtualShards } from '../../shared/arithmetic/virtual-shards.ts';
import { systemClock } from '../../shared/clock.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { assert } from '../../shared/errors.ts';
import { createKernels } from '../../shared/kernels/kernels.ts';
import { MAX_STEPS } from '../../shared/limits.ts';
import { encodePointer, type Tensor } from '../../shared/wire/frame.ts';
import { PROTOCOL, workerMessage } from '../../shared/wire/messages.ts';
import { receive } from '../../shared/wire/receive.ts';
import type { Cell } from './cell.ts';
import { microsecondsPerCall } from './timing.ts';
import { SEED, UPDATE } from './workload.ts';

/** The worker counts of the cells, each with a batch that is large enough for them. */
const COUNTS = [
  { workers: 2, batchSize: 32 },
  { workers: 8, batchSize: 256 },
] as const;

/** Steps before the first measurement, after which the code of all paths is compiled. */
const WARM_UP_STEPS = 3_000;

export interface CoordinatorCell extends Cell {
  readonly workers: number;
  /** Microseconds per step, one value per repetition. */
  readonly microseconds: number[];
}

/**
 * Cells for the coordinator's own work in a step: it parses each result, decides, and encodes the
 * next weights. The model is so small that the kernels take no time, and workers in this process
 * answer at once, so that nothing waits and no system call is made.
 */
export function coordinatorCells(milliseconds: number): CoordinatorCell[] {
  return COUNTS.map(({ workers, batchSize }) => {
    const call = stepOf(workers, batchSize);
    const microseconds: number[] = [];
    return {
      name: `coordinator, ${workers} workers`,
      workers,
      microseconds,
      measure: () => {
        const warmUp = microseconds.length === 0 ? WARM_UP_STEPS : 0;
        for (let step = 0; step < warmUp; step++) call();
        return Promise.resolve(void microseconds.push(microsecondsPerCall(call, milliseconds)));
      },
    };
  });
}

/** A run of the smallest model; the returned function takes one step. */
function stepOf(workers: number, batchSize: number): () => void {
  const configuration = configurationOf(batchSize);
  const tensors = new Tensors(configuration, initialWeights(SEED, configuration.model));
  const gradient = gradientOf(tensors.parameters);
  const fence = { run: 'bench', term: 1 };
  let sent: OutgoingWeights | undefined;
  const driver = new Driver({
    state: initialState(
      {
        ...fence,
        ...readOnlyPolicy,
        startWorkers: workers,
        rendezvousMilliseconds: Infinity,
        configuration,
        totalSteps: MAX_STEPS,
        evaluateAfter: { validation: new Set(), test: new Set() },
      },
      systemClock.now(),
    ),
    tensors,
    predictions: new Predictions(configuration),
    observer,
    clock: systemClock,
    newSession: () => '0'.repeat(32),
  });
  const peers = Array.from({ length: workers }, (_, slot) =>
    peerOf(slot, (weights) => {
      weights.frame();
      weights.hold(slot)();
      sent = weights;
    }),
  );
  for (const peer of peers) join(driver, peer);
  return () => {
    const message = sent?.message;
    assert(message?.kind === 'step', 'a step is open');
    for (const [slot = 0, ...nodes] of message.assignment)
      for (const part of nodes) {
        const answer = { kind: 'gradient', ...fence, step: message.step, part } as const;
        const frame = encodePointer(
          { ...answer, correct: 0, microseconds: 400, buffer: 0 },
          gradient.checksum,
        );
        const { message: heard, tensor } = receive(workerMessage, frame, true, () => gradient);
        const peer = peers[slot];
        assert(peer !== undefined, 'a worker is in each slot');
        driver.message(peer, heard, tensor);
      }
  };
}

function join(driver: Driver, peer: Peer): void {
  driver.connected(peer);
  const version = '0';
  const name = `w${peer.slot}`;
  driver.message(
    peer,
    { kind: 'hello', protocol: PROTOCOL, arithmetic: ARITHMETIC, version, name },
    undefined,
  );
  driver.message(peer, { kind: 'preparing', limitMilliseconds: 60_000 }, undefined);
  const engine = { kind: 'reference', library: '', device: 'cpu', processor: '', threads: 1 };
  const ready = { kind: 'ready', fingerprint: '0'.repeat(64), engine } as const;
  driver.message(peer, workerMessage.parse(ready), undefined);
}

function configurationOf(batchSize: number): Configuration {
  return {
    dataset: '0'.repeat(64),
    model: denseModel([1, 1], [1], 0, 2),
    batchSize,
    virtualShards: defaultVirtualShards(batchSize),
    seed: SEED,
    ...UPDATE,
    epochs: 1,
    steps: MAX_STEPS,
    trainSamples: 60_000,
    testSamples: 1,
  };
}

/** A gradient of zeros. */
function gradientOf(parameters: number): Tensor {
  const byteLength = 4 * (parameters + 1);
  const kernels = createKernels(byteLength + 64);
  const checksum = kernels.checksum(kernels.allocate(byteLength), byteLength);
  return {
    byteLength,
    checksum,
    copyTo: (to) => {
      to.fill(0);
      return true;
    },
    isStale: () => false,
  };
}

function peerOf(slot: number, sendWeights: Peer['sendWeights']): Peer {
  return {
    slot,
    sendWeights,
    send: () => undefined,
    beat: () => undefined,
    close: (_code, message) => assert(false, message),
    terminate: (reason) => assert(false, reason),
    traffic: () => ({
      sentBytes: 0,
      receivedBytes: 0,
      queuedBytes: 0,
      roundTripMilliseconds: undefined,
    }),
  };
}

const observer: RunObserver = {
  step: () => undefined,
  result: () => undefined,
  left: () => undefined,
  evaluation: () => ({ loss: 1 }),
  restore: () => Promise.reject(new Error('a benchmark does not restore weights')),
  checkpoint: () => undefined,
  log: () => undefined,
  devices: () => undefined,
};
