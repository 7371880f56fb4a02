import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BoundedServer } from '../../coordinator/network/http-server.ts';
import { newcomerLimits, Newcomers } from '../../coordinator/network/newcomers.ts';
import { CLOSE_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { isProbe, pathOf, refusalOf, Responses, TEXT, type AccessRules } from './responses.ts';

/** The requests that a page's server admits; each gets the security headers. */
export class PageGate {
  readonly responses = new Responses();
  readonly #http: BoundedServer;
  readonly #newcomers: Newcomers;
  readonly #rules: AccessRules;

  /** `answer` gets each admitted request's path, without its query. */
  constructor(
    http: BoundedServer,
    rules: AccessRules,
    headers: Readonly<Record<string, string>>,
    answer: (path: string, response: ServerResponse) => void,
  ) {
    this.#http = http;
    this.#rules = rules;
    this.#newcomers = new Newcomers(http, newcomerLimits());
    http.on('request', (request, response) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (this.#admits(request, response)) answer(pathOf(request), response);
    });
  }

  #admits(request: IncomingMessage, response: ServerResponse): boolean {
    const refusal = refusalOf(this.#rules, request);
    if (refusal !== undefined) {
      this.responses.send(response, refusal.status, TEXT, refusal.text, refusal.headers);
      return false;
    }
    // A probe without a token remains a newcomer, and the number of newcomers is limited.
    if (this.#rules.token === undefined || !isProbe(request)) {
      this.#newcomers.release(request.socket);
      // Only a response in progress occupies a place of its own, not an idle connection after it.
      response.once('close', () => this.#newcomers.readmit(request.socket));
    }
    return true;
  }

  /** Closes the server. Responses in progress may finish, but slow clients are disconnected. */
  async close(endStreams: () => void = () => undefined): Promise<void> {
    const http = this.#http;
    const closed = new Promise<void>((resolve) => http.close(() => resolve()));
    endStreams();
    http.closeIdleConnections();
    const cut = setTimeout(() => http.closeAllConnections(), CLOSE_LIMIT_MILLISECONDS / 4);
    await closed;
    clearTimeout(cut);
  }
}
