import assert from 'node:assert/strict';
import type { Server, ServerResponse } from 'node:http';
import { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { MAX_REQUEST_HEADER_BYTES, MAX_REQUEST_PIECES } from '../../shared/limits.ts';

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/**
 * Closes every connection that sends anything before its last request is answered. Node parses all
 * requests that it has read, up to 64 KiB of them, before anything can stop it; here, its parser
 * gets one head at a time, and no request's body. After an upgrade, nothing stands between the
 * socket and its reader.
 */
export function limitToOneRequest(http: Server | SecureServer): void {
  const gates = new WeakMap<Socket, RequestGate>();
  http.on('request', (request, response) => gates.get(request.socket)?.asked(response));
  http.on(http instanceof SecureServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    const [parse, ...others] = socket.listeners('data');
    assert(isReader(parse) && others.length === 0, "Node's parser alone reads the socket");
    const gate = new RequestGate(socket, parse);
    gates.set(socket, gate);
    socket.on('data', gate.take).off('data', parse);
  });
}

type Reader = (this: Socket, bytes: Buffer) => void;

class RequestGate {
  readonly take = (bytes: Buffer): void => this.#take(bytes);
  readonly #socket: Socket;
  readonly #parse: Reader;
  #head = new RequestHead();
  #isParsed = false;
  /** The response to the last request; undefined if Node itself has answered. */
  #response: ServerResponse | undefined;

  constructor(socket: Socket, parse: Reader) {
    this.#socket = socket;
    this.#parse = parse;
  }

  asked(response: ServerResponse): void {
    this.#response = response;
  }

  #take(bytes: Buffer): void {
    const socket = this.#socket;
    if (this.#isParsed && !this.#mayAsk()) return void socket.destroy();
    if (this.#isParsed) this.#await();
    const length = this.#head.add(bytes);
    // As if Node's parser had found this error.
    if (this.#head.isTooLarge)
      return void socket.emit('error', Object.assign(new Error(TOO_LARGE), { code: OVERFLOW }));
    const rest = bytes.subarray(length);
    if (this.#upgrades(bytes.subarray(0, length))) {
      if (rest.length > 0) socket.unshift(rest);
      return;
    }
    this.#isParsed = this.#head.isComplete;
    if (rest.length === 0) return;
    if (this.#response?.writableEnded === false) socket.destroy();
    else socket.destroySoon();
  }

  #await(): void {
    this.#head = new RequestHead();
    this.#isParsed = false;
    this.#response = undefined;
  }

  /**
   * Whether the last request is answered and was not the connection's last one. Over TLS, a
   * response is finished only after everything that was read together with its request.
   */
  #mayAsk(): boolean {
    const response = this.#response;
    if (response === undefined || this.#socket.writableEnded) return false;
    return response.writableFinished && response.req.complete;
  }

  /** Parses the bytes; returns whether they complete an upgrade. */
  #upgrades(bytes: Buffer): boolean {
    const socket = this.#socket;
    socket.on('data', this.#parse).off('data', this.take);
    this.#parse.call(socket, bytes);
    // Node removes its parser from a socket that upgrades.
    if (!socket.listeners('data').includes(this.#parse)) return true;
    socket.on('data', this.take).off('data', this.#parse);
    return false;
  }
}

const OVERFLOW = 'HPE_HEADER_OVERFLOW';
const TOO_LARGE = "the request's head is too large";

/** Finds where a request's head ends. */
class RequestHead {
  isComplete = false;
  #bytes = 0;
  #pieces = 0;
  #place: 'before' | 'in a line' | 'after a line' | 'in an empty line' = 'before';

  /** Whether the head has too many bytes, or came in too many pieces. */
  get isTooLarge(): boolean {
    return this.#bytes > MAX_REQUEST_HEADER_BYTES || this.#pieces > MAX_REQUEST_PIECES;
  }

  /** Returns how many of these bytes belong to the head. */
  add(bytes: Buffer): number {
    this.#pieces += 1;
    let at = 0;
    while (at < bytes.length && !this.isComplete && !this.isTooLarge) {
      this.#read(bytes[at]);
      this.#bytes += 1;
      at += 1;
    }
    return at;
  }

  #read(byte: number | undefined): void {
    switch (this.#place) {
      case 'before':
        // A parser skips empty lines before a request.
        if (byte !== CARRIAGE_RETURN && byte !== LINE_FEED) this.#place = 'in a line';
        break;
      case 'in a line':
        if (byte === LINE_FEED) this.#place = 'after a line';
        break;
      case 'after a line':
        if (byte === CARRIAGE_RETURN) this.#place = 'in an empty line';
        else if (byte === LINE_FEED) this.isComplete = true;
        else this.#place = 'in a line';
        break;
      case 'in an empty line':
        // Any byte: to some versions of Node, a carriage return alone ends the head.
        this.isComplete = true;
    }
  }
}

function isReader(listener: unknown): listener is Reader {
  return typeof listener === 'function';
}
