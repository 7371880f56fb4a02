import type { MappedMemory, MemoryAddon } from '../shared/wire/memory-addon.ts';
import {
  Rendezvous,
  type ChannelPeer,
  type PeerHandlers,
  type Spin,
} from '../shared/wire/rendezvous.ts';

/** The worker's side of the channels between it and a coordinator on its host. */
export class HostChannel {
  readonly #rendezvous: Rendezvous;
  readonly #theirs: MappedMemory;
  /** The coordinator; undefined until it has said that it uses the channels. */
  #coordinator: ChannelPeer | undefined;

  constructor(
    addon: MemoryAddon,
    { ours, theirs }: { readonly ours: MappedMemory; readonly theirs: MappedMemory },
    spin: Spin,
  ) {
    this.#rendezvous = new Rendezvous(addon, ours, spin);
    this.#theirs = theirs;
  }

  /** Reads the coordinator's channel as this slot, from the frame with the number `from` on. */
  join(slot: number, from: number, handlers: PeerHandlers): void {
    this.#coordinator ??= this.#rendezvous.join(
      this.#theirs,
      { slot: 0, readsAs: slot, from },
      handlers,
    );
  }

  /** Publishes a frame; returns false if it must travel over the socket. */
  publish(frame: Buffer): boolean {
    const coordinator = this.#coordinator;
    if (coordinator?.isAwake() !== true || !Rendezvous.fits(frame)) return false;
    this.#rendezvous.publish(frame, [coordinator]);
    return true;
  }

  /** The next step is due. */
  expect(): void {
    this.#rendezvous.expect();
  }

  /** No step is due. */
  relax(): void {
    this.#rendezvous.relax();
  }

  /** Hears what the coordinator has published. */
  poll(): void {
    this.#rendezvous.poll();
  }

  close(): void {
    this.#coordinator = undefined;
    this.#rendezvous.close();
  }
}
