let count = 0;

/**
 * The number of connections that this process's listeners have accepted. libuv accepts one
 * connection per listener and turn of the event loop: after a turn that accepted one, more may be
 * waiting in the system's queue.
 */
export function arrivals(): number {
  return count;
}

/** Counts a connection that a listener of this process has accepted, or dropped over its limit. */
export function countArrival(): void {
  count += 1;
}
