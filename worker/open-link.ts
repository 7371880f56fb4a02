import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import { messageOf } from '../shared/errors.ts';
import type { FrameSocket } from '../shared/wire/frame-socket.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import type { MemoryAddon } from '../shared/wire/memory-addon.ts';
import type { Spin } from '../shared/wire/rendezvous.ts';
import { HostChannel } from './host-channel.ts';
import { HostMemory } from './host-memory.ts';
import { Link, type LinkEvents, type SharedParts } from './link.ts';

export { connect } from './connect.ts';

/** How this worker uses the memory that it shares with a coordinator on its host. */
export interface HostAccess {
  /** Maps the memory; undefined if it cannot be mapped. */
  readonly addon: MemoryAddon | undefined;
  readonly spin: Spin;
}

/**
 * Creates the link over an open connection. The link uses the coordinator's shared memory if it is
 * reachable.
 */
export function openLink(
  socket: FrameSocket,
  run: RunDescription,
  access: HostAccess,
  clock: () => number,
  events: LinkEvents,
): Link {
  return new Link(socket, shareMemory(run, access, events), clock, events);
}

/** Opens the coordinator's shared memory for a run, and a channel in it, if they are reachable. */
export function shareMemory(
  run: RunDescription,
  { addon, spin }: HostAccess,
  events: Pick<LinkEvents, 'log'>,
): SharedParts {
  const memory = reachMemory(run, addon, events);
  const channel =
    addon === undefined || memory?.mapped === undefined
      ? undefined
      : new HostChannel(addon, memory.mapped, spin);
  return { memory, channel };
}

/**
 * Opens the coordinator's shared memory if it is reachable; otherwise tensors travel in frames.
 */
function reachMemory(
  { memory, configuration }: RunDescription,
  addon: MemoryAddon | undefined,
  events: Pick<LinkEvents, 'log'>,
): HostMemory | undefined {
  if (memory === undefined) return undefined;
  try {
    return new HostMemory(memory, parameterCount(configuration.model), addon);
  } catch (error) {
    events.log('debug', `no shared memory with the coordinator: ${messageOf(error)}`);
    return undefined;
  }
}
