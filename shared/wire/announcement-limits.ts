/** The limits of announcements, in the style of shared/limits.ts. */

/** Maximum size of a datagram with a question or an announcement: it fits in one packet. */
export const MAX_ANNOUNCEMENT_BYTES = 1400;
/** Maximum length of one entry in an announcement's TXT record, set by its length byte. */
export const MAX_TXT_BYTES = 255;
/**
 * How long other programs may cache an announcement. Workers do not cache announcements; they ask
 * again.
 */
export const ANNOUNCEMENT_TTL_SECONDS = 10;
/** Maximum number of questions that a coordinator answers per second; it ignores the rest. */
export const ANSWERS_PER_SECOND = 64;
/** Maximum number of networks on which a process announces or looks for a coordinator. */
export const MAX_OWN_NETWORKS = 32;
/** How long a worker collects announcements before it chooses. */
export const DISCOVERY_MILLISECONDS = 2_000;
/**
 * Interval between two questions during that time; a worker repeats them because a datagram may be
 * lost.
 */
export const QUESTION_INTERVAL_MILLISECONDS = 600;
/** Pause before a worker looks for coordinators again. */
export const DISCOVERY_PAUSE_MILLISECONDS = 3_000;
/** Interval at which a worker checks whether a coordinator has started on its own machine. */
export const LOCAL_PROBE_INTERVAL_MILLISECONDS = 500;
/** Maximum number of datagrams that a worker reads on each network each time it looks. */
export const MAX_DISCOVERY_DATAGRAMS = 256;
/** Maximum number of different announcements that a worker considers. */
export const MAX_ANNOUNCEMENTS = 16;
/** Maximum number of log lines that say why a worker cannot join a coordinator. */
export const MAX_LOGGED_ANNOUNCEMENTS = 64;
/** Deadline for a coordinator to accept a connection, before a worker tries another address. */
export const PROBE_MILLISECONDS = 1_000;
