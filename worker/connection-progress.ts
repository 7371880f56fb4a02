import { isIP, type Socket } from 'node:net';

/** What a connection waits for: its name's address, the peer's acceptance, or a response. */
export type ConnectionStage = 'lookup' | 'acceptance' | 'response';

/** How far the newest connection to a coordinator has got, which tells why a time limit expired. */
export class ConnectionProgress {
  stage: ConnectionStage;
  readonly #first: ConnectionStage;

  constructor({ hostname }: URL) {
    this.#first = isIP(hostname.replace(/^\[(.*)\]$/, '$1')) === 0 ? 'lookup' : 'acceptance';
    this.stage = this.#first;
  }

  /** Follows a socket, which may already be connected. */
  watch(socket: Socket): void {
    this.stage = socket.connecting ? this.#first : 'response';
    if (!socket.connecting) return;
    socket.on('lookup', (error: Error | null) => {
      if (error === null) this.stage = 'acceptance';
    });
    socket.once('connect', () => {
      this.stage = 'response';
    });
  }
}
