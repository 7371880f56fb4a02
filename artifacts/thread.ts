import { parentPort, workerData } from 'node:worker_threads';
import { entryPieces } from '../data/regular-file.ts';
import { metricsLines } from '../shared/metrics.ts';
import { artifactsOf } from './artifacts.ts';
import type { Drawing } from './draw.ts';

/** The text of a file, piece by piece: that of a long run is larger than a string may be. */
function* piecesOf(path: string): Generator<string> {
  for (const piece of entryPieces(path)) yield piece.toString('latin1');
}

// What draw.ts, the only one that starts this thread, has put there.
const { metricsFile, ...evaluation } = workerData as Drawing;
const metrics = metricsFile === undefined ? undefined : metricsLines(piecesOf(metricsFile));
parentPort?.postMessage(await artifactsOf({ ...evaluation, metrics }));
