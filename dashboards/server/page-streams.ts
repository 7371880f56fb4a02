import type { ServerResponse } from 'node:http';
import * as limits from '../../shared/limits.ts';
import { visibleJson } from '../../shared/printable.ts';
import type { Update } from '../feed/api.ts';

export const STREAM = 'text/event-stream';

/** The streams of open pages: each server-sent event is encoded once and sent to all. */
export class PageStreams {
  readonly #responses = new Set<ServerResponse>();
  #spokeAt = 0;

  get count(): number {
    return this.#responses.size;
  }

  /**
   * Milliseconds until the next update. Grows with the number of open pages, because each page
   * slows the steps.
   */
  get pause(): number {
    if (this.#responses.size === 0) return limits.MAX_PAGE_UPDATE_MILLISECONDS;
    const wanted = this.#responses.size * limits.PAGE_COST_MILLISECONDS;
    return Math.min(
      Math.max(wanted, limits.PAGE_UPDATE_MILLISECONDS),
      limits.MAX_PAGE_UPDATE_MILLISECONDS,
    );
  }

  /** Returns false if too many pages are open. */
  add(response: ServerResponse): boolean {
    if (this.#responses.size >= limits.MAX_PAGES) return false;
    // Without chunked encoding, an update takes only one write per page.
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, {
      Connection: 'close',
      'Content-Type': STREAM,
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    // The delay before a browser reconnects.
    response.write(`retry: ${limits.MAX_PAGE_UPDATE_MILLISECONDS}\n\n`);
    response.socket?.setTimeout(0);
    this.#responses.add(response);
    response.once('close', () => this.#responses.delete(response));
    return true;
  }

  send(update: Update): void {
    if (this.#responses.size === 0) return;
    // JSON without indentation contains no raw line feeds; in strings, they are escaped.
    this.#write(`data: ${visibleJson(update)}\n\n`);
    this.#spokeAt = performance.now();
  }

  /** Sends a heartbeat, so that proxies keep idle connections open. */
  beat(): void {
    const now = performance.now();
    if (now - this.#spokeAt < limits.PAGE_SIGN_OF_LIFE_MILLISECONDS) return;
    this.#spokeAt = now;
    this.#write(': here\n\n');
  }

  end(): void {
    for (const response of this.#responses) response.end();
  }

  /** Writes to all pages and disconnects those that do not read. */
  #write(text: string): void {
    const bytes = Buffer.from(text);
    for (const response of this.#responses) {
      if (response.writableLength > limits.MAX_PAGE_QUEUE_BYTES) response.destroy();
      else response.write(bytes);
    }
  }
}
