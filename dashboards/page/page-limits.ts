/**
 * All limits of the page, with the unit in the name. Its memory is bounded for runs of any length.
 */

/** Points of the curve; at this number pairs of them are merged. */
export const MAX_CURVE_POINTS = 100_000;
export const MAX_EVALUATIONS = 2_000;
export const MAX_EVENTS = 200;
export const MAX_CHANGES = 1_000;
/** With more classes the most frequent confusions are listed instead of the matrix. */
export const MAX_MATRIX_CLASSES = 30;
export const MAX_CONFUSIONS = 30;

/** The time range of the workers' timelines. */
export const TIMELINE_MILLISECONDS = 600_000;

/** The wait before a reconnect; it doubles each time. */
export const FIRST_RETRY_MILLISECONDS = 500;
export const MAX_RETRY_MILLISECONDS = 5_000;
/** Timeout of a request. */
export const REQUEST_LIMIT_MILLISECONDS = 15_000;
/** A coordinator sends an update every second; a stream without one for so long is broken. */
export const SILENCE_LIMIT_MILLISECONDS = 15_000;
/** The interval between requests for the weights. */
export const WEIGHTS_INTERVAL_MILLISECONDS = 1_000;

/** Side of the drawing area and radius of the pen, in cells of the raster. */
export const INK_CELLS = 140;
export const PEN_CELLS = 6;
