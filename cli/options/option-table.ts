import { networkOptions } from './groups/network-options.ts';
import { outputOptions } from './groups/output-options.ts';
import { runOptions } from './groups/run-options.ts';
import { measuringOptions, setupOptions } from './groups/tool-options.ts';
import { trainingOptions } from './groups/training-options.ts';
import { watchingOptions } from './groups/watching-options.ts';
import { workerOptions } from './groups/worker-options.ts';

/** Option groups, in the order in which the help and the documents list them. */
export const optionGroups = {
  Run: runOptions,
  Training: trainingOptions,
  Network: networkOptions,
  Watching: watchingOptions,
  Workers: workerOptions,
  'Set-up': setupOptions,
  Measuring: measuringOptions,
  Output: outputOptions,
} as const;

/**
 * Every option of every command, once. Flags, MNIST_DIST_... variables, YAML keys, the help and the
 * option reference are all derived from this table.
 */
export const optionTable = {
  ...runOptions,
  ...trainingOptions,
  ...networkOptions,
  ...watchingOptions,
  ...workerOptions,
  ...setupOptions,
  ...measuringOptions,
  ...outputOptions,
} as const;
