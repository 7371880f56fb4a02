/**
 * The version of the messages between a worker and the coordinator (messages.ts); it increases when
 * a record changes. It is in a file of its own, so that a worker can dial before it loads the
 * schemas.
 */
export const PROTOCOL = 3;
