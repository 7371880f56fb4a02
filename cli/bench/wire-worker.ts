import { frameCapacity, MAX_FRAME_HEAD_BYTES, encodeBefore } from '../../shared/wire/frame.ts';
import {
  DEFAULT_MAX_DATA_BYTES,
  DEFAULT_MAX_MODEL_BYTES,
  DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  REQUEST_LIMIT_MILLISECONDS,
  RESULT_FRAMES,
} from '../../shared/limits.ts';
import type { ResultMessage } from '../../shared/wire/messages.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { processorName } from '../../worker/engines/engine.ts';
import { fetchDescription, type DialOptions } from '../../worker/dial.ts';
import { connect, openLink } from '../../worker/open-link.ts';
import { loadMemoryAddon } from '../../worker/native/addons/memory.ts';
import type { Result } from '../../worker/result-frames.ts';
import { version } from '../package.ts';
import { Anchor } from '../../worker/trust.ts';

const engine = {
  kind: 'reference',
  library: 'none',
  device: 'cpu',
  processor: processorName(),
  threads: 1,
} as const;

/**
 * A worker without an engine. It dials like any worker, copies the weights of each step and
 * immediately answers with a full-size gradient. It does not compute a checksum. Resolves with an
 * exit code when the connection closes.
 */
export async function exchange({
  port,
  token,
  ca,
}: {
  port: number;
  token: string;
  /** CA certificate to trust, in PEM; undefined for a connection without TLS. */
  ca?: string | undefined;
}): Promise<number> {
  const dial: DialOptions = {
    version,
    anchor: new Anchor(ca === undefined ? { kind: 'system' } : { kind: 'certificates', pem: ca }),
    coordinator: new URL(`${ca === undefined ? 'ws' : 'wss'}://127.0.0.1:${port}`),
    token: () => token,
    signal: new AbortController().signal,
    maxModelBytes: DEFAULT_MAX_MODEL_BYTES,
    maxDataBytes: DEFAULT_MAX_DATA_BYTES,
    // Without an engine there is nothing to limit.
    maxMemoryBytes: Infinity,
    engine: engine.kind,
    requestLimitMilliseconds: REQUEST_LIMIT_MILLISECONDS,
    dataLimitMilliseconds: DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  };
  const description = await fetchDescription(dial);
  const socket = await connect(dial, description);
  const parameters = parameterCount(description.configuration.model);
  const weights = new Uint8Array(4 * parameters);
  const results = new Results(4 * (parameters + 1));
  const addon = description.memory === undefined ? undefined : loadMemoryAddon();
  return await new Promise((resolve) => {
    const access = { addon, spin: 'auto' } as const;
    const link = openLink(socket, description, access, () => performance.now(), {
      message: (message, tensor) => {
        if (message.kind !== 'step' || tensor?.copyTo(weights) !== true) return;
        link.beginTask();
        const { run, term, step } = message;
        const fence = { run, term, step };
        link.sendResult(
          results.next({ kind: 'gradient', ...fence, part: 1, correct: 0, microseconds: 0 }),
        );
      },
      failed: () => resolve(1),
      crashed: () => resolve(1),
      closed: () => resolve(0),
      isReady: () => false,
      log: () => undefined,
    });
    link.send({ kind: 'ready', fingerprint: '0'.repeat(64), engine });
  });
}

/** Gradients of zeros, in buffers that take turns. */
class Results {
  readonly #buffers: readonly Uint8Array[];
  readonly #bytes: number;
  #count = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#buffers = Array.from(
      { length: RESULT_FRAMES },
      () => new Uint8Array(frameCapacity(bytes)),
    );
  }

  next(message: ResultMessage): Result {
    this.#count += 1;
    const buffer = this.#buffers[this.#count % this.#buffers.length] ?? new Uint8Array(0);
    return {
      message,
      body: buffer.subarray(MAX_FRAME_HEAD_BYTES, MAX_FRAME_HEAD_BYTES + this.#bytes),
      checksum: 0n,
      frame: () => encodeBefore(buffer, message),
      free: () => undefined,
    };
  }
}
