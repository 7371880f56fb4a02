import type { RunView, Update } from '../feed/api.ts';
import {
  FIRST_RETRY_MILLISECONDS,
  MAX_RETRY_MILLISECONDS,
  SILENCE_LIMIT_MILLISECONDS,
} from './page-limits.ts';
import { RunState } from './run-state.ts';

/** The network functions that the follower uses. */
export interface Wire {
  /** GET /api/run; rejects if the request fails. */
  fetchView(): Promise<RunView>;
  /** GET /api/stream; returns the function that closes it. */
  openStream(listener: StreamListener): () => void;
  later(milliseconds: number, action: () => void): void;
}

export interface StreamListener {
  opened(): void;
  updated(update: Update): void;
  /** The stream has ended or failed. */
  broken(): void;
}

/**
 * connecting  no view has been fetched yet
 * live        the stream is open and the view is current
 * lost        the view is outdated; a retry is scheduled
 * over        the run has ended and the stream is closed
 * directory   a recorded run, which has no stream
 */
export type Link = 'connecting' | 'live' | 'lost' | 'over' | 'directory';

/**
 * Follows a coordinator: fetches the view, opens the stream, and fetches the view again once the
 * stream is open, so that no update is missed. Updates that arrive in the meantime are queued. If
 * the stream breaks, the follower starts over and keeps the old view until a new one arrives.
 * `changed` is called after every visible change.
 */
export class Follower {
  state: RunState | undefined;
  link: Link = 'connecting';
  readonly #wire: Wire;
  readonly #changed: () => void;
  #retry = FIRST_RETRY_MILLISECONDS;

  constructor(wire: Wire, changed: () => void) {
    this.#wire = wire;
    this.#changed = changed;
  }

  start(): void {
    void this.#begin();
  }

  async #begin(): Promise<void> {
    const view = await this.#fetch();
    if (view === undefined) return this.#lose();
    this.state = new RunState(view);
    if (!view.isLive) return this.#settle('directory');
    if (this.state.isOver) return this.#settle('over');
    this.#listen();
    this.#changed();
  }

  /** Resolves to undefined on any failure, since every failure leads to a retry. */
  #fetch(): Promise<RunView | undefined> {
    return this.#wire.fetchView().catch(() => undefined);
  }

  #listen(): void {
    /** Updates that arrived before the view; undefined once the view has been fetched. */
    let waiting: Update[] | undefined = [];
    let isClosed = false;
    let heard = 0;
    const end = () => {
      isClosed = true;
      close();
    };
    const stopIfOver = () => {
      if (this.state?.isOver !== true) return this.#changed();
      end();
      this.#settle('over');
    };
    const broken = () => {
      if (isClosed) return;
      end();
      this.#lose();
    };
    const takeView = async () => {
      const view = await this.#fetch();
      if (isClosed) return;
      if (view === undefined) return broken();
      this.state = new RunState(view);
      for (const update of waiting ?? []) this.state.merge(update);
      waiting = undefined;
      this.#retry = FIRST_RETRY_MILLISECONDS;
      this.link = 'live';
      stopIfOver();
    };
    const opened = () => void takeView();
    const updated = (update: Update) => {
      if (isClosed) return;
      heard += 1;
      if (waiting !== undefined) return void waiting.push(update);
      if (update.isRestated === true) {
        waiting = [];
        return void takeView();
      }
      this.state?.merge(update);
      stopIfOver();
    };
    // A host that loses power or goes to sleep does not close its connections.
    const watch = (before: number) =>
      this.#wire.later(SILENCE_LIMIT_MILLISECONDS, () => {
        if (heard === before) broken();
        else watch(heard);
      });
    watch(heard);
    const close = this.#wire.openStream({ opened, updated, broken });
  }

  #lose(): void {
    this.link = this.state === undefined ? 'connecting' : 'lost';
    this.#wire.later(this.#retry, () => this.start());
    this.#retry = Math.min(MAX_RETRY_MILLISECONDS, this.#retry * 2);
    this.#changed();
  }

  #settle(link: Link): void {
    this.link = link;
    this.#changed();
  }
}
