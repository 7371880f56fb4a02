/** The limits of the board's page; the last word of a name is the unit. */

/** Pause between two requests for the runs. */
export const POLL_MILLISECONDS = 2_000;
/** The same pause while the server is still reading runs. */
export const PENDING_POLL_MILLISECONDS = 100;
/** Number of runs whose curves are shown at first. */
export const FIRST_CHOSEN = 4;
/** Maximum number of runs whose curves are shown: eight colours, each solid and dashed. */
export const MAX_CHOSEN = 16;
/** Number of colours; style.css has one variable for each. */
export const RUN_COLOURS = 8;
/** Points are drawn for at most so many evaluations of a curve. */
export const MAX_DOTS = 100;
/** With more folders that are not runs than this, their list is closed at first. */
export const MAX_OPEN_UNLISTED = 8;
