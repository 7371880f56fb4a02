import type { RunView, Update } from './api.ts';

/** All weights of a model, layer by layer: kernel [inputs, units] row-major, bias [units]. */
export interface Weights {
  /** The step after which they are. */
  readonly step: number;
  readonly weights: Float32Array;
}

/** What the listener shows: a run that is going on, or one that is over. */
export interface Source {
  /** Whether there is something to show. */
  readonly isOpen: boolean;
  /** Why a run that goes on needs somebody to look at it; undefined where nothing is wrong. */
  readonly problem: string | undefined;
  /** For a page that is opened; undefined as long as there is nothing to show. */
  view(): RunView | undefined;
  /** What is new since the last call; undefined where nothing ever is. */
  turn(): Update | undefined;
  weights(): Weights | undefined;
  /** The metrics as text; undefined where there are none. */
  scrape(): Promise<{ readonly type: string; readonly text: string } | undefined>;
}
