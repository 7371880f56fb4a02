import { randomBytes } from 'node:crypto';
import { connect } from 'node:tls';
import { z } from 'zod';
import { ClusterError, errorCodes, messageOf, unreachable } from '../../shared/errors.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { engineKinds } from '../../shared/engine-identity.ts';
import { EngineBench } from './engine-timing.ts';
import { exchange } from './wire-worker.ts';

/**
 * Environment variable that turns `mnist-dist bench` into a measured process; its value is the task
 * as JSON.
 */
export const TASK_VARIABLE = 'MNIST_DIST_INTERNAL_BENCH';

const count = z.int().min(1);
export const taskSchema = z.discriminatedUnion('kind', [
  /** Create this engine and answer requests for measurements. */
  z.strictObject({ kind: z.literal('engine'), engine: z.enum(engineKinds) }),
  /** Dial this port and answer each frame of weights with a gradient, without computing it. */
  z.strictObject({
    kind: z.literal('wire'),
    port: count.max(65_535),
    token: z.string(),
    ca: z.string().optional(),
  }),
  /** Dial this port over TLS and answer each message with one of the same length. */
  z.strictObject({
    kind: z.literal('echo'),
    port: count.max(65_535),
    ca: z.string(),
    bytes: count,
  }),
]);
export type Task = z.infer<typeof taskSchema>;

/**
 * Requests the time of a gradient call on `shards` shards of a batch, measured over about
 * `milliseconds`.
 */
export const requestSchema = z.strictObject({
  batchSize: count,
  shards: count,
  milliseconds: z.number().gt(0),
});
export type MeasureRequest = z.infer<typeof requestSchema>;

export const replySchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('measured'),
    microseconds: z.number().gt(0),
    library: z.string(),
  }),
  z.strictObject({
    kind: z.literal('failed'),
    code: z.enum(errorCodes),
    message: z.string(),
    fix: z.string().optional(),
  }),
]);
export type MeasureReply = z.infer<typeof replySchema>;

/** Runs this process's task until the channel to its parent closes. */
export async function runTask(text: string): Promise<number> {
  const task = taskSchema.parse(JSON.parse(text));
  // Workers tune the runtime as well.
  tuneRuntime();
  // On Ctrl-C, a terminal signals every process, but only the parent handles the signal.
  process.on('SIGINT', () => undefined);
  // This process ends together with the bench.
  process.on('disconnect', () => process.exit(0));
  switch (task.kind) {
    case 'engine':
      return await serveRequests(new EngineBench(task.engine));
    case 'wire':
      return await exchange(task);
    case 'echo':
      return await echo(task);
    default:
      return unreachable(task);
  }
}

function serveRequests(bench: EngineBench): Promise<number> {
  const answer = async (message: unknown): Promise<MeasureReply> => {
    try {
      return { kind: 'measured', ...(await bench.measure(requestSchema.parse(message))) };
    } catch (error) {
      if (!(error instanceof ClusterError)) {
        return { kind: 'failed', code: 'UNEXPECTED', message: messageOf(error) };
      }
      const { code, message: said, fix } = error;
      return { kind: 'failed', code, message: said, ...(fix === undefined ? {} : { fix }) };
    }
  };
  process.on('message', (message) => void answer(message).then((reply) => process.send?.(reply)));
  return new Promise(() => undefined);
}

/**
 * Dials an EchoBench and answers every `bytes` bytes with the same number of bytes. Resolves with
 * an exit code when the connection closes.
 */
async function echo(task: { port: number; ca: string; bytes: number }): Promise<number> {
  const socket = connect({
    port: task.port,
    host: '127.0.0.1',
    ca: task.ca,
    minVersion: 'TLSv1.3',
  }).setNoDelay();
  const bytes = randomBytes(task.bytes);
  let missing = task.bytes;
  socket.on('data', ({ length }: Buffer) => {
    missing -= length;
    if (missing > 0) return;
    missing = task.bytes;
    socket.write(bytes);
  });
  return await new Promise((resolve) => {
    socket.once('close', () => resolve(0));
    socket.once('error', () => resolve(1));
  });
}
