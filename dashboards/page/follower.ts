import type { RunView, Update } from '../feed/api.ts';
import {
  FIRST_RETRY_MILLISECONDS,
  MAX_RETRY_MILLISECONDS,
  SILENCE_LIMIT_MILLISECONDS,
} from './page-limits.ts';
import { RunState } from './run-state.ts';

/** What the follower needs of a browser. */
export interface Wire {
  /** GET /api/run; rejects if that fails. */
  fetchView(): Promise<RunView>;
  /** GET /api/stream; returns what closes it. */
  openStream(listener: StreamListener): () => void;
  later(milliseconds: number, action: () => void): void;
}

export interface StreamListener {
  opened(): void;
  updated(update: Update): void;
  /** It will say no more. */
  broken(): void;
}

/**
 * connecting  nothing is known yet
 * live        the stream is open and its view is there
 * lost        what is known is old; another try follows
 * over        the run has ended: the stream is closed for good
 * directory   a run shown from its directory: there never is a stream
 */
export type Link = 'connecting' | 'live' | 'lost' | 'over' | 'directory';

/**
 * Keeps up with a coordinator: fetches the view, opens the stream, and fetches the view once more
 * when it is open, so that nothing falls between the two. What the stream says meanwhile waits.
 * When it breaks, all of this starts again, and until the new view is there the old one stays.
 * `changed` is called after everything that may be seen.
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

  /** undefined, whatever the reason: there is but one thing to do about it. */
  #fetch(): Promise<RunView | undefined> {
    return this.#wire.fetchView().catch(() => undefined);
  }

  #listen(): void {
    /** What came before the view; undefined once the view is there. */
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
    // A host that lost its power, or a visitor's that slept, breaks no connection.
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
