/** The limits of trackers. The last word of a name is the unit; a name without one is a count. */

/** Interval between two writes to an event file. */
export const EVENT_FLUSH_MILLISECONDS = 1_000;
/** Waiting records that trigger a write to an event file. */
export const EVENT_FLUSH_BYTES = 256 * 1024;
/** Maximum size of the records that wait for the disk; further records are left out. */
export const MAX_EVENT_QUEUE_BYTES = 8 * 1024 ** 2;
/** Maximum size of a picture in an event file. */
export const MAX_EVENT_PICTURE_BYTES = 16 * 1024 ** 2;
/** Interval between two values of the speed, and of a gradient norm that has to be computed. */
export const TRACKED_SPEED_MILLISECONDS = 250;
/** How long the end of a run waits for a disk that does not write its event file. */
export const EVENT_CLOSE_MILLISECONDS = 10_000;
