import type { BoardCurve } from '../../board/api.ts';
import { find, setAttribute, setText } from '../dom.ts';
import { timeOfDay } from '../format.ts';
import { PENDING_POLL_MILLISECONDS, POLL_MILLISECONDS } from './board-limits.ts';
import { BoardState } from './board-state.ts';
import { fetchCurve, fetchRuns } from './board-wire.ts';
import { summaryOf } from './columns.ts';
import { Comparison } from './comparison.ts';
import { mountCurves } from './curves.ts';
import { Legend } from './legend.ts';
import { RunCurve } from './run-curve.ts';
import { RunTable } from './run-table.ts';

/** The parameter of the address that names a chosen run. */
const RUN = 'run';

const state = new BoardState();
const legend = new Legend((name) => {
  state.drop(name);
  chosen();
});
const drawCurves = mountCurves((step) => legend.pointAt(step));
const table = new RunTable(state, chosen);
const comparison = new Comparison(state);
const status = find('state', HTMLElement);
let timer: number | undefined;
let isFetching = false;

/** Other runs have been chosen: the address names them, so that a reload shows them again. */
function chosen(): void {
  const names = state.chosen.map(({ run }) => [RUN, run.name]);
  history.replaceState(null, '', `#${new URLSearchParams(names).toString()}`);
  show();
  void fetchCurves();
}

function show(): void {
  showStatus();
  table.show();
  const runs = state.chosen;
  legend.show(runs);
  drawCurves(runs.flatMap(({ curve, ...run }) => (curve === undefined ? [] : [{ ...run, curve }])));
  comparison.show();
}

function showStatus(): void {
  const { view, isLost } = state;
  if (view === undefined)
    return setText(status, isLost ? 'Waiting for the board' : 'Reading the runs');
  setAttribute(status, 'data-state', isLost ? 'away' : 'running');
  setText(
    status,
    isLost ? `Connection lost; the values below are from ${timeOfDay(view.at)}` : summaryOf(view),
  );
  setText(find('folder', HTMLElement), view.folder);
}

/** Fetches the curves that have changed, one after the other. */
async function fetchCurves(): Promise<void> {
  if (isFetching) return;
  isFetching = true;
  for (let [run] = state.outdated; run !== undefined; [run] = state.outdated) {
    const curve = await fetchCurve(run.name).catch(failedCurve);
    state.setCurve(run, new RunCurve(curve, run.stepsPerEpoch), curve.isPartial);
    show();
  }
  isFetching = false;
}

/** A run whose file cannot be read has an empty curve until the file changes. */
function failedCurve(error: unknown): BoardCurve {
  const empty = { mean: [], low: [], high: [] };
  return {
    step: [],
    loss: empty,
    accuracy: empty,
    samplesPerSecond: empty,
    evaluations: [],
    isPartial: false,
    problem: error instanceof Error ? error.message : String(error),
  };
}

async function poll(): Promise<void> {
  clearTimeout(timer);
  let pause = POLL_MILLISECONDS;
  try {
    const view = await fetchRuns();
    const wanted = new URLSearchParams(location.hash.slice(1)).getAll(RUN);
    state.take(view, wanted);
    if (view.pending > 0) pause = PENDING_POLL_MILLISECONDS;
  } catch {
    state.isLost = true;
  }
  show();
  void fetchCurves();
  // A hidden page asks for nothing until it is visible again.
  if (document.visibilityState === 'visible') timer = setTimeout(() => void poll(), pause);
}

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void poll();
});
void poll();
