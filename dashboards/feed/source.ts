import type { RunView, Update } from './api.ts';

/** All weights of a model, layer by layer: kernel [inputs, units] row-major, bias [units]. */
export interface Weights {
  /** The step that produced them. */
  readonly step: number;
  readonly weights: Float32Array;
}

/** The run that the listener shows, which is either running or recorded. */
export interface Source {
  /** Whether the run is open. */
  readonly isOpen: boolean;
  /** A problem with a run in progress that needs attention; undefined if there is none. */
  readonly problem: string | undefined;
  /** The run directory; undefined before the run is open. */
  readonly directory: string | undefined;
  /** The view for a page that has just opened; undefined before the run is open. */
  view(): RunView | undefined;
  /** The changes since the last call; undefined for a recorded run. */
  turn(): Update | undefined;
  weights(): Weights | undefined;
  /** The metrics as text; undefined if there are none. */
  scrape(): Promise<{ readonly type: string; readonly text: string } | undefined>;
}
