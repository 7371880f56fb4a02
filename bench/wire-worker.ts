import { CHECKSUM_BYTES, decodeFrame, encodeBefore, MAX_FRAME_HEAD_BYTES, roomBytes } from '../shared/frame.ts';
import { RESULT_FRAMES } from '../shared/limits.ts';
import { coordinatorMessage, parseMessage, type WorkerMessage } from '../shared/messages.ts';
import { connect } from '../worker/dial.ts';

export interface WireWorker {
  readonly port: number;
  readonly token: string;
  readonly frameBytes: number;
  /** P: weights come with P floats, gradients go with P + 1. */
  readonly parameters: number;
}

/**
 * A worker without an engine: it dials as workers do, copies the weights of each frame into place and answers at once by
 * a gradient frame of the right size. No checksum is made or compared. Resolves when the connection closes.
 */
export async function exchange({ port, token, frameBytes, parameters }: WireWorker): Promise<number> {
  const socket = await connect(
    { coordinator: new URL(`ws://127.0.0.1:${port}`), token: () => token },
    { frame_bytes: frameBytes },
  );
  const weights = new Uint8Array(4 * parameters);
  const rooms = Array.from({ length: RESULT_FRAMES }, () => new Uint8Array(roomBytes(4 * (parameters + 1))));
  let next = 0;
  socket.on('message', (data) => {
    if (!Buffer.isBuffer(data)) return;
    const { header, body } = decodeFrame(data);
    const message = parseMessage(coordinatorMessage, header);
    if (message.kind !== 'step' || body === undefined) return;
    weights.set(body);
    const room = rooms[next] ?? new Uint8Array(MAX_FRAME_HEAD_BYTES + CHECKSUM_BYTES);
    next = (next + 1) % rooms.length;
    const { run, term, step } = message;
    const reply: WorkerMessage = { kind: 'gradient', run, term, step, part: 1, correct: 0, microseconds: 0 };
    socket.send(encodeBefore(room, reply));
  });
  return await new Promise((resolve) => {
    socket.once('close', () => resolve(0));
    socket.once('error', () => resolve(1));
  });
}
