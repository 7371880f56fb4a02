import { assert } from '../../shared/errors.ts';
import { encodeBefore, frameCapacity } from '../../shared/wire/frame.ts';
import {
  DEFAULT_MAX_DATA_BYTES,
  DEFAULT_MAX_MODEL_BYTES,
  DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  RESULT_FRAMES,
  REQUEST_LIMIT_MILLISECONDS,
} from '../../shared/limits.ts';
import { coordinatorMessage, type WorkerMessage } from '../../shared/wire/messages.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { receive } from '../../shared/wire/receive.ts';
import { connect } from '../../worker/connect.ts';
import { fetchDescription, type DialOptions } from '../../worker/dial.ts';
import { version } from '../package.ts';
import { Anchor } from '../../worker/trust.ts';

/**
 * A worker without an engine. It dials like any worker, copies the weights out of each frame and
 * immediately answers with a full-size gradient frame. It does not compute a checksum. Resolves
 * with an exit code when the connection closes.
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
    engine: 'reference',
    requestLimitMilliseconds: REQUEST_LIMIT_MILLISECONDS,
    dataLimitMilliseconds: DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  };
  const description = await fetchDescription(dial);
  const socket = await connect(dial, description);
  const bytes = 4 * parameterCount(description.configuration.model);
  const weights = new Uint8Array(bytes);
  const buffers = Array.from(
    { length: RESULT_FRAMES },
    () => new Uint8Array(frameCapacity(bytes + 4)),
  );
  let answered = 0;
  socket.onMessage((data, isBinary, free) => {
    const { message, tensor } = receive(coordinatorMessage, data, isBinary, () => undefined, free);
    if (message.kind !== 'step' || tensor?.byteLength !== bytes) return;
    tensor.copyTo(weights);
    const buffer = buffers[answered % buffers.length];
    assert(buffer !== undefined, 'there is a frame for a gradient');
    answered += 1;
    const { run, term, step } = message;
    const reply: WorkerMessage = {
      kind: 'gradient',
      run,
      term,
      step,
      part: 1,
      correct: 0,
      microseconds: 0,
    };
    socket.sendTensor(encodeBefore(buffer, reply), () => undefined);
  });
  return await new Promise((resolve) => {
    socket.webSocket.once('close', () => resolve(0));
    socket.webSocket.once('error', () => resolve(1));
  });
}
