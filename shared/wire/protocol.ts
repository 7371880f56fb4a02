/**
 * The version of the messages between a worker and the coordinator (messages.ts); it is incremented
 * when a record changes. It has its own file, so that a worker can dial before it loads the
 * schemas.
 */
export const PROTOCOL = 3;
