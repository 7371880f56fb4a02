import type { ServerResponse } from 'node:http';
import * as limits from '../../shared/limits.ts';
import { visibleJson } from '../../shared/printable.ts';
import type { Update } from '../feed/api.ts';

export const STREAM = 'text/event-stream';

/** The open pages: server-sent events to all of them, each encoded once. */
export class Pages {
  readonly #responses = new Set<ServerResponse>();
  #spokeAt = 0;

  get count(): number {
    return this.#responses.size;
  }

  /**
   * How long to wait until the next look at the run, in milliseconds: the more pages, the longer,
   * for each costs time that steps need.
   */
  get pause(): number {
    if (this.#responses.size === 0) return limits.MAX_PAGE_UPDATE_MILLISECONDS;
    const wanted = this.#responses.size * limits.PAGE_COST_MILLISECONDS;
    return Math.min(
      Math.max(wanted, limits.PAGE_UPDATE_MILLISECONDS),
      limits.MAX_PAGE_UPDATE_MILLISECONDS,
    );
  }

  /** False where there are too many already. */
  add(response: ServerResponse): boolean {
    if (this.#responses.size >= limits.MAX_PAGES) return false;
    // Without chunks an update is one write to each page.
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, {
      Connection: 'close',
      'Content-Type': STREAM,
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
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
    // JSON has no line feed outside of its strings, where they are escaped.
    this.#write(`data: ${visibleJson(update)}\n\n`);
    this.#spokeAt = performance.now();
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
