/**
 * All of the page's limits, with units in their names. They bound the page's memory however long
 * the run is.
 */

/** Maximum number of points in the curve; when it is reached, points are merged in pairs. */
export const MAX_CURVE_POINTS = 100_000;
export const MAX_EVALUATIONS = 2_000;
export const MAX_EVENTS = 200;
export const MAX_CHANGES = 1_000;
/** With more classes than this, the most frequent confusions are listed instead of the matrix. */
export const MAX_MATRIX_CLASSES = 30;
export const MAX_CONFUSIONS = 30;

/** The time span that the workers' timelines show. */
export const TIMELINE_MILLISECONDS = 600_000;

/** First pause before the page reconnects; each further pause is twice as long. */
export const FIRST_RETRY_MILLISECONDS = 500;
export const MAX_RETRY_MILLISECONDS = 5_000;
/** Timeout for a request. */
export const REQUEST_LIMIT_MILLISECONDS = 15_000;
/**
 * How long a stream may be silent before the page treats it as broken. A coordinator sends an
 * update at least every second.
 */
export const SILENCE_LIMIT_MILLISECONDS = 15_000;
/** Minimum interval between two requests for the weights. */
export const WEIGHTS_INTERVAL_MILLISECONDS = 1_000;

/** The side of the drawing area and the radius of the pen, in cells of the raster. */
export const INK_CELLS = 140;
export const PEN_CELLS = 6;
