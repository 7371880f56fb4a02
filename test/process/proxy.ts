import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** `up` is what a worker says, `down` what it hears. */
export type Direction = 'up' | 'down';

/** How often bytes are let through while a connection is slowed. */
const SLOW_MILLISECONDS = 10;

/** How a connection fares; changed while it lasts, for the connections there are and those to come. */
interface Weather {
  /** Each connection ends after so many bytes in this direction. */
  cut: { readonly direction: Direction; readonly bytes: number } | undefined;
  /** Nothing passes until it is released; the sender's buffers fill. */
  readonly stalled: Set<Direction>;
  bytesPerSecond: number;
}

/** Between workers and a coordinator, on TCP: it knows nothing of what passes. It is closed when its test ends. */
export class Proxy {
  readonly #target: number;
  readonly #server: Server;
  readonly #tunnels = new Set<Tunnel>();
  readonly #weather: Weather = { cut: undefined, stalled: new Set(), bytesPerSecond: Infinity };
  readonly #passed = { up: 0, down: 0 };
  #cuts = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Listens, and passes everything on to this port. */
  static async open(target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    onTestFinished(() => {
      proxy.#server.close();
      for (const tunnel of proxy.#tunnels) tunnel.end();
    });
    return proxy;
  }

  get url(): string {
    // A listening server's address is that of a port, not of a pipe.
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Connections that were cut. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Bytes of all connections so far. */
  passed(direction: Direction): number {
    return this.#passed[direction];
  }

  /** Both ends of each connection see it end after so many bytes of it in this direction. */
  cutAfter(direction: Direction, bytes: number): void {
    this.#weather.cut = { direction, bytes };
  }

  stall(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#weather.stalled.add(direction);
  }

  /** Each connection, in each direction. */
  slow(bytesPerSecond: number): void {
    this.#weather.bytesPerSecond = bytesPerSecond;
  }

  /** Connections are left alone from here on, and what was held back goes on; what was made silent stays so. */
  release(): void {
    this.#weather.cut = undefined;
    this.#weather.bytesPerSecond = Infinity;
    this.#weather.stalled.clear();
    for (const tunnel of this.#tunnels) tunnel.go();
  }

  /** What the connections of now say in these directions is lost from here on, and no end of them is told; new ones are well. */
  silence(...directions: readonly Direction[]): void {
    for (const tunnel of this.#tunnels) for (const direction of directions) tunnel.silence(direction);
  }

  /** To the coordinator its connections of now have ended; what it has said waits for the workers, which hear no end. */
  abandon(): void {
    for (const tunnel of this.#tunnels) tunnel.abandon();
  }

  #accept(socket: Socket): void {
    const tunnel: Tunnel = new Tunnel(
      socket,
      connect({ port: this.#target, allowHalfOpen: true }),
      this.#weather,
      {
        passed: (direction, bytes) => (this.#passed[direction] += bytes),
        cut: () => (this.#cuts += 1),
        ended: () => this.#tunnels.delete(tunnel),
      },
    );
    this.#tunnels.add(tunnel);
  }
}

interface TunnelEvents {
  passed(direction: Direction, bytes: number): void;
  cut(): void;
  ended(): void;
}

/** One connection: a worker's socket, and the one to the coordinator that stands for it. */
class Tunnel {
  readonly #sockets: Readonly<Record<Direction, Socket>>;
  readonly #weather: Weather;
  readonly #events: TunnelEvents;
  readonly #passed = { up: 0, down: 0 };
  readonly #silent = new Set<Direction>();
  /** Set while a direction waits for its turn. */
  readonly #slowed: Record<Direction, NodeJS.Timeout | undefined> = { up: undefined, down: undefined };

  constructor(worker: Socket, coordinator: Socket, weather: Weather, events: TunnelEvents) {
    /** By the direction in which they are the source. */
    this.#sockets = { up: worker, down: coordinator };
    this.#weather = weather;
    this.#events = events;
    for (const direction of ['up', 'down'] as const) {
      const source = this.#sockets[direction];
      source.setNoDelay(true);
      source.on('readable', () => this.#pass(direction));
      source.on('end', () => this.#close(direction));
      source.on('error', () => this.#close(direction));
      source.on('close', () => this.#close(direction));
    }
  }

  go(): void {
    for (const direction of ['up', 'down'] as const) this.#pass(direction);
  }

  silence(direction: Direction): void {
    this.#silent.add(direction);
    this.#pass(direction);
  }

  abandon(): void {
    this.silence('up');
    this.#sockets.down.end();
  }

  end(): void {
    for (const direction of ['up', 'down'] as const) {
      clearTimeout(this.#slowed[direction]);
      this.#sockets[direction].destroy();
    }
    this.#events.ended();
  }

  /** Passes on what there is, as far as the weather lets it. */
  #pass(direction: Direction): void {
    if (this.#weather.stalled.has(direction) || this.#slowed[direction] !== undefined) return;
    const source = this.#sockets[direction];
    for (;;) {
      const most = this.#most(direction);
      // A stream gives all it has, or exactly as much as it is asked for.
      const bytes: Buffer | null = source.read(Math.min(most, source.readableLength) || undefined);
      if (bytes === null) return;
      this.#forward(direction, bytes);
      if (this.#isCut(direction)) {
        this.#events.cut();
        return this.end();
      }
      if (Number.isFinite(this.#weather.bytesPerSecond)) return this.#pause(direction);
    }
  }

  #most(direction: Direction): number {
    const { cut, bytesPerSecond } = this.#weather;
    const untilCut =
      cut?.direction === direction ? Math.max(1, cut.bytes - this.#passed[direction]) : Infinity;
    return Math.min(untilCut, Math.ceil((bytesPerSecond * SLOW_MILLISECONDS) / 1000));
  }

  #forward(direction: Direction, bytes: Buffer): void {
    this.#passed[direction] += bytes.length;
    this.#events.passed(direction, bytes.length);
    if (!this.#silent.has(direction)) this.#sink(direction).write(bytes);
  }

  #isCut(direction: Direction): boolean {
    const { cut } = this.#weather;
    return cut?.direction === direction && this.#passed[direction] >= cut.bytes;
  }

  #pause(direction: Direction): void {
    this.#slowed[direction] = setTimeout(() => {
      this.#slowed[direction] = undefined;
      this.#pass(direction);
    }, SLOW_MILLISECONDS);
  }

  #sink(direction: Direction): Socket {
    return this.#sockets[direction === 'up' ? 'down' : 'up'];
  }

  #close(direction: Direction): void {
    if (this.#silent.size > 0) return;
    this.#sink(direction).end();
    if (this.#sockets.up.destroyed && this.#sockets.down.destroyed) this.#events.ended();
  }
}
