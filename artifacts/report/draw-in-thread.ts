import { Worker } from 'node:worker_threads';
import type { Artifact } from './artifact.ts';
import type { Evaluation } from './subject.ts';

/** An evaluation, and where the training is written down that led to it. */
export interface Drawing extends Omit<Evaluation, 'metrics'> {
  /** A metrics.jsonl; undefined where no training is shown. */
  readonly metricsFile: string | undefined;
}

/**
 * What artifactsOf makes of it, in a thread: whoever else is in this process goes on. Rejects with
 * what went wrong there.
 */
export async function draw(drawing: Drawing): Promise<readonly Artifact[]> {
  const thread = new Worker(new URL('drawing-thread.js', import.meta.url), { workerData: drawing });
  return await new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) =>
      reject(new Error(`the thread that draws has ended with exit code ${code}`)),
    );
  });
}
