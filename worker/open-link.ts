import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import { messageOf } from '../shared/errors.ts';
import type { FrameSocket } from '../shared/wire/frame-socket.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import { HostMemory } from './host-memory.ts';
import { Link, type LinkEvents } from './link.ts';

export { connect } from './connect.ts';

/**
 * Creates the link over an open connection. The link uses the coordinator's shared memory if it is
 * reachable.
 */
export function openLink(
  socket: FrameSocket,
  run: RunDescription,
  clock: () => number,
  events: LinkEvents,
): Link {
  return new Link(socket, reachMemory(run, events), clock, events);
}

/**
 * Opens the coordinator's shared memory if it is reachable; otherwise tensors travel in frames.
 */
function reachMemory(
  { memory, configuration }: RunDescription,
  events: LinkEvents,
): HostMemory | undefined {
  if (memory === undefined) return undefined;
  try {
    return new HostMemory(memory, parameterCount(configuration.model));
  } catch (error) {
    events.log('debug', `no shared memory with the coordinator: ${messageOf(error)}`);
    return undefined;
  }
}
