import { parentPort, workerData } from 'node:worker_threads';
import { entryPieces } from '../../shared/disk/regular-file.ts';
import { metricsLines } from '../../shared/files/metrics.ts';
import { artifactsOf } from './artifacts.ts';
import type { Drawing } from './draw-in-thread.ts';

// What draw.ts, the only one that starts this thread, has put there.
const { metricsFile, ...evaluation } = workerData as Drawing;
const metrics =
  metricsFile === undefined ? undefined : () => metricsLines(entryPieces(metricsFile));
parentPort?.postMessage(await artifactsOf({ ...evaluation, metrics }));
