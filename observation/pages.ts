import type { ServerResponse } from 'node:http';
import * as limits from '../shared/limits.ts';
import type { Update } from './api.ts';

/** The share of this process' time that pages may take before they are updated less often. */
const TIME_SHARE = 0.02;

/** The open pages: server-sent events to all of them, each encoded once. */
export class Pages {
  readonly #responses = new Set<ServerResponse>();
  #spokeAt = 0;
  #pause: number = limits.PAGE_UPDATE_MILLISECONDS;

  get count(): number {
    return this.#responses.size;
  }

  /** How long to wait until the next update, in milliseconds: the more the last one cost, the longer. */
  get pause(): number {
    return this.#pause;
  }

  /** False where there are too many already. */
  add(response: ServerResponse): boolean {
    if (this.#responses.size >= limits.MAX_PAGES) return false;
    response.writeHead(200, {
      ...{ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' },
    });
    // How long a page waits before it dials again after a lost connection.
    response.write(`retry: ${limits.MAX_PAGE_UPDATE_MILLISECONDS}\n\n`);
    response.socket?.setTimeout(0);
    this.#responses.add(response);
    response.once('close', () => this.#responses.delete(response));
    return true;
  }

  send(update: Update): void {
    if (this.#responses.size === 0) return;
    const began = performance.now();
    // JSON has no line feed outside of its strings, where they are escaped.
    this.#write(`data: ${JSON.stringify(update)}\n\n`);
    this.#spokeAt = began;
    const wanted = (performance.now() - began) / TIME_SHARE;
    // Step by step, for the first one is slow on every machine.
    const next = Math.max(Math.min(wanted, 2 * this.#pause), limits.PAGE_UPDATE_MILLISECONDS);
    this.#pause = Math.min(next, limits.MAX_PAGE_UPDATE_MILLISECONDS);
  }

  /** For those between that would not know otherwise whether their connection lives. */
  beat(): void {
    const now = performance.now();
    if (now - this.#spokeAt < limits.PAGE_SIGN_OF_LIFE_MILLISECONDS) return;
    this.#spokeAt = now;
    this.#write(': here\n\n');
  }

  end(): void {
    for (const response of this.#responses) response.end();
  }

  /** Whoever does not read is not waited for. */
  #write(text: string): void {
    const bytes = Buffer.from(text);
    for (const response of this.#responses) {
      if (response.writableLength > limits.MAX_PAGE_QUEUE_BYTES) response.destroy();
      else response.write(bytes);
    }
  }
}
