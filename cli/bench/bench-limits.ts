/** The limits of `mnist-dist bench`, in the style of shared/limits.ts. */

/** How long one piece of a step is measured in one repetition. */
export const BENCH_PIECE_MILLISECONDS = 100;
/** How long one transport is measured in one repetition. */
export const BENCH_WIRE_MILLISECONDS = 400;
/** Target duration of all steps in one run of the full loop. */
export const BENCH_RUN_MILLISECONDS = 1_500;
/** Fixed part of the time limit after which a bench run is stopped. */
export const BENCH_RUN_LIMIT_MILLISECONDS = 120_000;
