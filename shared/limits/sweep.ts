/** The limits of a sweep (`mnist-dist sweep`). A name has three digits: trial-001. */
export const MAX_TRIALS = 999;
/** Options that a sweep varies, since each has a panel in its picture. */
export const MAX_VARIED_OPTIONS = 16;
/** Values in the list of a varied option. */
export const MAX_VARIED_VALUES = 256;
/** The size of sweep.json, in bytes: each trial has some texts from the file. */
export const MAX_SWEEP_RECORD_BYTES = 16 * 1024 * 1024;
/** Engines that a worker keeps, so that later runs with the same model need not load them again. */
export const MAX_LOADED_ENGINES = 4;
/** Memory of these engines for sums; a worker with larger ones keeps only the current engine. */
export const MAX_KEPT_ENGINE_BYTES = 256 * 1024 ** 2;
