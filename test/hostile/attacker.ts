import { connect, type Socket } from 'node:net';
import { encodeHeader, type Tensor } from '../../shared/wire/frame.ts';
import { coordinatorMessage, type CoordinatorMessage } from '../../shared/wire/messages.ts';
import { receive, type Received } from '../../shared/wire/receive.ts';
import { answerTo } from '../fixtures/proven-client.ts';
import {
  CLOSE,
  controlFrame,
  introduction,
  plainRequest,
  upgradeRequest,
  webSocketFrame,
  WORKER_PATH,
} from './frames.ts';
import { TOKEN, until } from './honest.ts';

const PROBE_MILLISECONDS = 10;

/** How the coordinator ended a connection. */
export interface Ending {
  /** The status of its HTTP response. */
  readonly status: number | undefined;
  /** The code of its WebSocket close frame. */
  readonly close: number | undefined;
  /** Everything that the coordinator sent before the upgrade, or instead of it. */
  readonly text: string;
}

/** The work that an attacker was assigned. */
export interface Work {
  readonly fence: { readonly run: string; readonly term: number; readonly step: number };
  readonly part: number;
  /** A part of the same step that another worker computes. */
  readonly othersPart: number;
  readonly weights: Tensor;
}

interface Options {
  /** The run's token by default; null for none. */
  readonly token?: string | null;
  readonly path?: string;
  readonly headers?: string;
  /** Bytes to send in the same write as the request. */
  readonly first?: Uint8Array;
  readonly localAddress?: string;
}

/** A raw TCP connection that sends any bytes and parses the responses. */
export class Attacker {
  /** Resolves when the coordinator has closed the connection. */
  readonly ended: Promise<Ending>;
  readonly received: Received<CoordinatorMessage>[] = [];
  /**
   * What the attacker does on a close frame: it answers and closes its half, keeps its half open,
   * or resets the connection, which leaves no port in TIME_WAIT.
   */
  manners: 'polite' | 'rude' | 'resets' = 'polite';
  readonly #socket: Socket;
  #unread = Buffer.alloc(0);
  #text = '';
  #status: number | undefined;
  #close: number | undefined;
  #isGone = false;
  /** Builds the request that answers the challenge; undefined once it is sent. */
  #answer: ((head: string) => string | undefined) | undefined;
  /** Written after the request that answers the challenge. */
  #waiting: (Uint8Array | string)[] = [];

  constructor(port: number, localAddress = '127.0.0.1') {
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      localAddress,
      allowHalfOpen: true,
    }).setNoDelay();
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', () => undefined);
    // The attacker's half stays open. Its writes are answered with a reset only once the peer is
    // gone.
    this.#socket.once('end', () => {
      if (this.#socket.writable) probe = setInterval(() => this.write('?'), PROBE_MILLISECONDS);
    });
    let probe: NodeJS.Timeout | undefined;
    this.ended = new Promise((resolve) => {
      this.#socket.once('close', () => {
        clearInterval(probe);
        this.#isGone = true;
        resolve({ status: this.#status, close: this.#close, text: this.#text });
      });
    });
  }

  /** Requests the upgrade with a proof of the token; bytes written in the meantime follow it. */
  static upgrade(
    port: number,
    { token = TOKEN, path = WORKER_PATH, headers = '', first, localAddress }: Options = {},
  ): Attacker {
    const attacker = new Attacker(port, localAddress);
    if (token === null) attacker.write(upgradeRequest(null, path, headers));
    else attacker.#prove(path, token, (answer) => upgradeRequest(answer, path, headers));
    if (first !== undefined) attacker.write(first);
    return attacker;
  }

  /** Requests this path `times` times, each time with the same proof of the token. */
  static get(
    port: number,
    path: string,
    token = TOKEN,
    times = 1,
    localAddress?: string,
  ): Attacker {
    const attacker = new Attacker(port, localAddress);
    attacker.#prove(path, token, (answer) => plainRequest(path, answer).repeat(times));
    return attacker;
  }

  #prove(path: string, token: string, request: (answer: string) => string): void {
    this.#socket.write(plainRequest(path));
    this.#answer = (head) => {
      const answer = answerTo(head, token, `GET ${path}`);
      return answer === undefined ? undefined : request(answer);
    };
  }

  /** Connects and waits for welcome. If given the run's fingerprint, it sends ready as well. */
  static async join(port: number, fingerprint?: string): Promise<Attacker> {
    const attacker = Attacker.upgrade(port, { first: introduction(fingerprint) });
    await attacker.welcomed();
    return attacker;
  }

  write(bytes: Uint8Array | string): void {
    if (this.#answer === undefined) this.#socket.write(bytes);
    else this.#waiting.push(bytes);
  }

  /** Writes the bytes in pieces, and lets the target read each piece before the next one. */
  async writeInPieces(bytes: Uint8Array, pieceBytes: number): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#isGone; at += pieceBytes)
      await new Promise((resolve) =>
        this.#socket.write(bytes.subarray(at, at + pieceBytes), () => setImmediate(resolve)),
      );
  }

  send(frame: Uint8Array): void {
    this.write(webSocketFrame(frame));
  }

  say(message: object): void {
    this.send(encodeHeader(message));
  }

  /**
   * Resolves with the result of `find` for the first message that it accepts, even if that message
   * has already arrived.
   */
  async hears<T>(find: (heard: Received<CoordinatorMessage>) => T | undefined): Promise<T> {
    let found: T | undefined;
    const look = () => {
      found = this.received.map(find).find((answer) => answer !== undefined);
      return found !== undefined || this.#isGone;
    };
    await until(look, () => 'the expected message did not arrive');
    if (found === undefined)
      throw new Error(
        `it was disconnected (${this.#close ?? this.#status}) before the expected message`,
      );
    return found;
  }

  /** Resolves with the attacker's slot once welcome arrives. */
  welcomed(): Promise<number> {
    return this.hears(({ message }) => (message.kind === 'welcome' ? message.slot : undefined));
  }

  /** Resolves with its work in the first step that assigns it a part. */
  async leased(): Promise<Work> {
    const slot = await this.welcomed();
    return this.hears(({ message, tensor }) => {
      if (message.kind !== 'step' || tensor === undefined) return undefined;
      const partsOf = (isIt: (to: number | undefined) => boolean) =>
        message.assignment.filter(([to]) => isIt(to)).flatMap(([, ...parts]) => parts);
      const [mine] = partsOf((to) => to === slot);
      const [others] = partsOf((to) => to !== slot);
      if (mine === undefined || others === undefined) return undefined;
      const { run, term, step } = message;
      return { fence: { run, term, step }, part: mine, othersPart: others, weights: tensor };
    });
  }

  /** Whether the attacker has answered its challenge. */
  get isProven(): boolean {
    return this.#answer === undefined;
  }

  /** The status of the coordinator's response, once it has arrived. */
  get status(): number | undefined {
    return this.#status;
  }

  /** Stops reading what the coordinator sends. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Whether written bytes are waiting because the coordinator does not read them. */
  get isBacklogged(): boolean {
    return this.#socket.writableNeedDrain;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  vanish(): void {
    this.#socket.resetAndDestroy();
  }

  #read(chunk: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, chunk]);
    if (this.#status !== 101) this.#readHttp();
    while (this.#status === 101 && this.#readFrame());
  }

  #readHttp(): void {
    const end = this.#unread.indexOf('\r\n\r\n');
    this.#text = this.#unread.toString('latin1');
    if (end < 0) return;
    if (this.#answer !== undefined) return this.#follow(end + 4);
    this.#status ??= Number(/^HTTP\/1.1 (\d{3})/.exec(this.#text)?.[1]);
    if (this.#status === 101) this.#unread = this.#unread.subarray(end + 4);
  }

  /** Answers the challenge once it has arrived completely. */
  #follow(headBytes: number): void {
    const bytes = headBytes + Number(/^content-length: (\d+)/im.exec(this.#text)?.[1]);
    const request = this.#answer?.(this.#text);
    if (request === undefined) throw new Error(`this is not a challenge: ${this.#text}`);
    if (this.#unread.length < bytes) return;
    this.#unread = this.#unread.subarray(bytes);
    this.#answer = undefined;
    // Sends the request and the waiting bytes in one write.
    this.write(
      Buffer.concat([request, ...this.#waiting.splice(0)].map((part) => Buffer.from(part))),
    );
  }

  #readFrame(): boolean {
    const bytes = this.#unread;
    if (bytes.length < 2) return false;
    const short = bytes.readUInt8(1) & 0x7f;
    const headBytes = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (bytes.length < headBytes) return false;
    const length =
      short < 126
        ? short
        : short === 126
          ? bytes.readUInt16BE(2)
          : Number(bytes.readBigUInt64BE(2));
    if (bytes.length < headBytes + length) return false;
    const payload = bytes.subarray(headBytes, headBytes + length);
    this.#unread = bytes.subarray(headBytes + length);
    this.#take(bytes.readUInt8(0) & 0x0f, payload);
    return true;
  }

  #take(opcode: number, payload: Buffer): void {
    if (opcode === 2)
      this.received.push(receive(coordinatorMessage, payload, true, () => undefined));
    if (opcode !== 8) return;
    this.#close = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
    if (this.manners === 'resets') this.vanish();
    if (this.manners === 'polite') this.#socket.end(controlFrame(CLOSE, payload.subarray(0, 2)));
  }
}
