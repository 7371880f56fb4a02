import { z } from 'zod';
import { ClusterError, errorCodes, messageOf, unreachable } from '../../shared/errors.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { engineKinds } from '../../shared/engine-identity.ts';
import { echo } from './echo-peer.ts';
import { EngineBench } from './engine-timing.ts';
import { exchange } from './wire-worker.ts';

/**
 * The variable that makes `mnist-dist bench` one of the processes which are measured; its value is
 * the task.
 */
export const TASK_VARIABLE = 'MNIST_DIST_INTERNAL_BENCH';

const count = z.int().min(1);
export const taskSchema = z.discriminatedUnion('kind', [
  /** "Be an engine; I shall ask you for measurements." */
  z.strictObject({ kind: z.literal('engine'), engine: z.enum(engineKinds) }),
  /** "Dial this port, and answer each frame of weights by a gradient, without computing one." */
  z.strictObject({
    kind: z.literal('wire'),
    port: count.max(65_535),
    token: z.string(),
    ca: z.string().optional(),
  }),
  /** "Send back as many bytes as you get, over TLS." */
  z.strictObject({
    kind: z.literal('echo'),
    port: count.max(65_535),
    ca: z.string(),
    bytes: count,
  }),
]);
export type Task = z.infer<typeof taskSchema>;

/** "How long does a gradient of so many shards of this batch take?" */
export const questionSchema = z.strictObject({
  batchSize: count,
  shards: count,
  milliseconds: z.number().gt(0),
});
export type Question = z.infer<typeof questionSchema>;

export const answerSchema = z.discriminatedUnion('kind', [
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
export type Answer = z.infer<typeof answerSchema>;

/** Does what the process was started for, until the channel to the one who started it closes. */
export async function runTask(text: string): Promise<number> {
  const task = taskSchema.parse(JSON.parse(text));
  // As workers do.
  tuneRuntime();
  // The terminal's Ctrl-C reaches every process; the bench itself decides what it means.
  process.on('SIGINT', () => undefined);
  // Whatever ends the bench ends its processes.
  process.on('disconnect', () => process.exit(0));
  switch (task.kind) {
    case 'engine':
      return await answerQuestions(new EngineBench(task.engine));
    case 'wire':
      return await exchange(task);
    case 'echo':
      return await echo(task);
    default:
      return unreachable(task);
  }
}

function answerQuestions(bench: EngineBench): Promise<number> {
  const answer = async (message: unknown): Promise<Answer> => {
    try {
      return { kind: 'measured', ...(await bench.measure(questionSchema.parse(message))) };
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
