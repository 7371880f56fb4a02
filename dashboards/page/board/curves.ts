import { find, onThemeChange, setText } from '../dom.ts';
import { count, counted, loss, percent, short, tick } from '../format.ts';
import { Zoom } from '../plot/zoom.ts';
import { Overlay, type OverlaySpec, type ShownRun } from './overlay.ts';

/** Below this accuracy, the axis begins at the lowest value instead. */
const ACCURACY_STEP = 0.1;

/**
 * Creates the three charts and returns the function that draws them. `pointed` is called with the
 * step at the cursor.
 */
export function mountCurves(
  pointed: (step: number | undefined) => void,
): (runs: readonly ShownRun[]) => void {
  let shown: readonly ShownRun[] = [];
  const note = find('zoom-note', HTMLElement);
  const reset = find('zoom-reset', HTMLButtonElement);
  const zoom = new Zoom(() => later());
  const plotOf = (id: string) => find(id, HTMLElement);
  const charts = [
    new Overlay(plotOf('loss-plot'), lossSpec, zoom, pointed, true),
    new Overlay(plotOf('accuracy-plot'), accuracySpec, zoom, pointed),
    new Overlay(plotOf('speed-plot'), speedSpec, zoom, pointed),
  ] as const;
  const draw = (): void => {
    for (const chart of charts) chart.draw(shown);
    reset.hidden = !zoom.isActive;
    const [from, to] = zoom.range(lastStepOf(shown));
    setText(
      note,
      zoom.isActive ? `Steps ${count(Math.round(from))} to ${count(Math.round(to))}` : '',
    );
  };
  let isScheduled = false;
  const later = (): void => {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      draw();
    });
  };
  reset.addEventListener('click', () => {
    zoom.reset();
    find('loss-plot', HTMLElement).focus();
  });
  const scale = find('loss-scale', HTMLButtonElement);
  scale.addEventListener('click', () => {
    const isLogarithmic = scale.getAttribute('aria-pressed') !== 'true';
    scale.setAttribute('aria-pressed', String(isLogarithmic));
    charts[0].isLogarithmic = isLogarithmic;
  });
  onThemeChange(() => charts.forEach((chart) => chart.repaint()));
  return (runs) => {
    shown = runs;
    later();
  };
}

function lastStepOf(runs: readonly ShownRun[]): number {
  return Math.max(1, ...runs.map(({ curve }) => curve.lastStep));
}

/** "Loss of 2 runs over 900 steps: a 0.12, b 0.34." */
function sentence(
  title: string,
  runs: readonly ShownRun[],
  value: (run: ShownRun) => string,
): string {
  const values = runs.map((run) => `${run.run.name} ${value(run)}`).join(', ');
  const steps = count(lastStepOf(runs));
  return `${title} of ${counted(runs.length, 'run')} over ${steps} steps: ${values}.`;
}

const lossSpec: OverlaySpec = {
  quantity: 'loss',
  evaluated: ([, value]) => value,
  range: (low, high, isLogarithmic) =>
    isLogarithmic ? [Math.max(1e-6, low / 1.6), Math.max(high * 1.3, low * 2)] : [0, high * 1.05],
  tick,
  describe: (runs) => sentence('Loss', runs, ({ curve }) => loss(curve.smooth('loss').at(-1))),
};

const accuracySpec: OverlaySpec = {
  quantity: 'accuracy',
  evaluated: ([, , value]) => value,
  range: (low, high) => {
    const span = Math.max(0.002, high - low);
    const top = Math.min(1, high + span * 0.08);
    return span > ACCURACY_STEP ? [Math.max(0, low - span * 0.05), 1] : [low - span * 0.15, top];
  },
  tick: (value) => `${Number((value * 100).toFixed(2))} %`,
  describe: (runs) =>
    sentence('Accuracy', runs, ({ curve }) => percent(curve.smooth('accuracy').at(-1))),
};

const speedSpec: OverlaySpec = {
  quantity: 'samplesPerSecond',
  evaluated: () => undefined,
  range: (_, high) => [0, Math.max(1, high * 1.2)],
  tick,
  describe: (runs) =>
    sentence('Samples per second', runs, ({ curve }) =>
      short(curve.smooth('samplesPerSecond').at(-1)),
    ),
};
