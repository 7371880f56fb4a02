import { parameterCount, type ModelShape } from './arithmetic/model-shape.ts';
import { stateNames, type Optimizer } from './arithmetic/optimizer.ts';
import { FILE_SIZE_FIX } from './disk/system-error.ts';
import { ClusterError } from './errors.ts';
import { MIN_STEP_LINE_BYTES } from './limits.ts';
import { processLimit } from './process-limits.ts';

const FLOAT_BYTES = 4;

/** The settings that determine how large a run's files become. */
export interface FileNeeding {
  readonly model: ModelShape;
  readonly optimizer: Optimizer;
}

/** A lower bound on the size of a run's largest file: a checkpoint, or metrics.jsonl. */
export function largestFileBytes({ model, optimizer }: FileNeeding, steps: number): number {
  const checkpoint = FLOAT_BYTES * parameterCount(model) * (1 + stateNames(optimizer).length);
  return Math.max(checkpoint, MIN_STEP_LINE_BYTES * steps);
}

/**
 * Throws LIMIT, before anything is computed, if this process may not write files as large as those
 * of a run with that many steps.
 */
export function checkFileSizes(
  of: FileNeeding,
  steps: number,
  limit: number | undefined = processLimit('Max file size'),
): void {
  const bytes = largestFileBytes(of, steps);
  if (limit === undefined || limit >= bytes) return;
  throw new ClusterError(
    'LIMIT',
    `the run writes files of more than ${bytes} bytes, but the limit is ${limit} (ulimit -f)`,
    { fix: FILE_SIZE_FIX },
  );
}
