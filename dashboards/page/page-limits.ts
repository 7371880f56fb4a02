/**
 * Every limit of the page, with its unit in the name; what it holds is bounded however long a run
 * is watched.
 */

/** Of the curve; beyond that neighbours become one. */
export const MAX_CURVE_POINTS = 100_000;
export const MAX_EVALUATIONS = 2_000;
export const MAX_EVENTS = 200;
export const MAX_CHANGES = 1_000;
/**
 * Classes beyond which a matrix cannot be read; the most frequent confusions are listed instead.
 */
export const MAX_MATRIX_CLASSES = 30;
export const MAX_CONFUSIONS = 30;

/** What the timeline of the workers shows. */
export const TIMELINE_MILLISECONDS = 600_000;

/** Between two tries to reach the coordinator, doubled each time. */
export const FIRST_RETRY_MILLISECONDS = 500;
export const MAX_RETRY_MILLISECONDS = 5_000;
/** An answer that takes longer counts as none. */
export const REQUEST_LIMIT_MILLISECONDS = 15_000;
/** A coordinator says something every second; a stream that is silent for so long leads nowhere. */
export const SILENCE_LIMIT_MILLISECONDS = 15_000;
/** Between two requests for the weights. */
export const WEIGHTS_INTERVAL_MILLISECONDS = 1_000;

/** Side of the square that is drawn on, and radius of the pen, both in cells of its raster. */
export const INK_CELLS = 140;
export const PEN_CELLS = 6;
