import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { metricsLines } from '../shared/metrics.ts';
import { artifactsOf } from './artifacts.ts';
import type { Drawing } from './draw.ts';

const CHUNK_BYTES = 1024 ** 2;

/** The text of a file, piece by piece: that of a long run is larger than a string may be. */
function* piecesOf(path: string): Generator<string> {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  const file = openSync(path, 'r');
  try {
    for (let count = readSync(file, bytes); count > 0; count = readSync(file, bytes))
      yield bytes.toString('latin1', 0, count);
  } finally {
    closeSync(file);
  }
}

// What draw.ts, the only one that starts this thread, has put there.
const { metricsFile, ...evaluation } = workerData as Drawing;
const metrics = metricsFile === undefined ? undefined : metricsLines(piecesOf(metricsFile));
parentPort?.postMessage(await artifactsOf({ ...evaluation, metrics }));
