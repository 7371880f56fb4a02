import { Worker } from 'node:worker_threads';
import type { Artifact } from './artifact.ts';
import type { Evaluation } from './subject.ts';

/** An evaluation, and the file that records the training before it. */
export interface Drawing extends Omit<Evaluation, 'metrics'> {
  /** The path of a metrics.jsonl; undefined if no training is shown. */
  readonly metricsFile: string | undefined;
}

/**
 * Runs artifactsOf in a thread, so that drawing does not block this process. Rejects with the
 * thread's error.
 */
export async function draw(drawing: Drawing): Promise<readonly Artifact[]> {
  const thread = new Worker(new URL('drawing-thread.js', import.meta.url), { workerData: drawing });
  return await new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
    thread.once('exit', (code) =>
      reject(new Error(`the drawing thread ended with exit code ${code}`)),
    );
  });
}
