import { Worker } from 'node:worker_threads';
import type { Artifact } from './artifact.ts';
import type { Evaluation } from './subject.ts';

/** An evaluation, and the file with the training before it. */
export interface Drawing extends Omit<Evaluation, 'metrics'> {
  /** A metrics.jsonl; undefined where no training is shown. */
  readonly metricsFile: string | undefined;
}

/**
 * Runs artifactsOf in a thread, so that drawing does not block this process. Rejects with the error
 * of the thread.
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
