/** The limits of the board. The last word of a name is the unit; a name without one is a count. */

/** Maximum number of runs on the board; of further ones, it shows only how many there are. */
export const MAX_BOARD_RUNS = 1_000;
/** Maximum size of the events.jsonl file of a run on the board. */
export const MAX_BOARD_EVENTS_BYTES = 8 * 1024 ** 2;
/** Shortest time between two looks at the folder. */
export const BOARD_LOOK_MILLISECONDS = 1_000;
/** How long one look may read runs; the next look reads the others. */
export const BOARD_LOOK_BUDGET_MILLISECONDS = 400;
/** How often a running run is read even if its files have not changed: it may have been killed. */
export const BOARD_REREAD_MILLISECONDS = 5_000;
/** Part of a metrics.jsonl file that is read at once; the page asks again for the rest. */
export const BOARD_CURVE_READ_BYTES = 32 * 1024 ** 2;
/** Size of a metrics.jsonl file from which its curve ends. */
export const MAX_BOARD_METRICS_BYTES = 1024 ** 3;
/** Maximum number of points of a curve; an even number. */
export const MAX_BOARD_POINTS = 2_048;
/** Maximum number of evaluations in a curve; a very long run keeps only every n-th. */
export const MAX_BOARD_EVALUATIONS = 1_024;
/** Number of curves that are kept in memory. */
export const MAX_BOARD_CURVES = 64;
/** Number of recorded runs whose own pages are kept in memory. */
export const MAX_BOARD_RUN_PAGES = 4;
/** Maximum size of the metrics and the events of a run whose own page is served. */
export const MAX_BOARD_RUN_PAGE_BYTES = 128 * 1024 ** 2;
/** Maximum size of a model or a checkpoint that is read for a run's own page. */
export const MAX_BOARD_MODEL_BYTES = 64 * 1024 ** 2;
/** Maximum size of the list of a run's mistakes. */
export const MAX_BOARD_MISTAKES_BYTES = 32 * 1024 ** 2;
/** Number of mistakes with pictures in each of the three groups of a comparison. */
export const MAX_BOARD_PAIRS = 16;
