import { parentPort, workerData } from 'node:worker_threads';
import { entryPiecesNow } from '../../shared/disk/regular-file.ts';
import { metricsLines } from '../../shared/files/metrics.ts';
import { artifactsOf } from './artifacts.ts';
import type { Drawing } from './draw-in-thread.ts';

// Parsing outside input: only draw-in-thread.ts starts this thread, with a Drawing.
const { metricsFile, ...evaluation } = workerData as Drawing;
const metrics =
  metricsFile === undefined ? undefined : () => metricsLines(entryPiecesNow(metricsFile));
parentPort?.postMessage(await artifactsOf({ ...evaluation, metrics }));
