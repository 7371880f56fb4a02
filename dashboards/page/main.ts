import { browserWire, fetchFiles, fetchWeights } from './browser-wire.ts';
import { mountCharts } from './charts.ts';
import { mountConfusion } from './confusion.ts';
import { mountDrawing } from './drawing-pad.ts';
import { mountFiles } from './file-list.ts';
import { Follower } from './follower.ts';
import { mountHeadline } from './headline.ts';
import { mountMistakes } from './mistakes.ts';
import { mountConfiguration, mountEvents } from './run-details.ts';
import { WeightSource } from './weights.ts';
import { mountWorkers } from './worker-list.ts';

const weights = new WeightSource(fetchWeights, () => performance.now());
const drawing = mountDrawing(weights);
const showHeadline = mountHeadline();
const panels = [
  mountCharts(),
  mountWorkers(),
  mountConfusion(),
  mountMistakes((picture) => drawing.choose(picture)),
  mountEvents(),
  mountConfiguration(),
  mountFiles(fetchFiles),
];
let isScheduled = false;
let hasFinalWeights = false;

const follower = new Follower(browserWire, () => {
  fetchFinalWeights();
  if (isScheduled) return;
  isScheduled = true;
  // Draws at most once per frame, and never in a hidden tab.
  requestAnimationFrame(show);
});

function show(): void {
  isScheduled = false;
  const { state, link } = follower;
  showHeadline(state, link);
  if (state === undefined) return;
  for (const panel of panels) panel(state);
  drawing.show(state, link);
}

/** Fetches the weights at the end of a run, so that predictions work without the coordinator. */
function fetchFinalWeights(): void {
  if (follower.link !== 'over' || hasFinalWeights || follower.state?.status.step === 0) return;
  hasFinalWeights = true;
  void weights.finish().then(show);
}

follower.start();
