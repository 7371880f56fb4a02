import { waitText, type Readiness } from '../../dashboards/feed/readiness.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { count, counted, duration, percent } from '../../shared/text/number-format.ts';
import { joined, paint, plainText, type Line } from './styled-line.ts';

/** The values shown on the live line; an epoch's values are undefined before its first sample. */
export interface ProgressState {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly totalSteps: number;
  /** Mean training loss, and accuracy as a ratio, in the current epoch. */
  readonly loss: number | undefined;
  readonly accuracy: number | undefined;
  readonly imagesPerSecond: number | undefined;
  /** Whether workers are ready; undefined until the run can be inspected. */
  readonly readiness: Readiness | undefined;
  /** How many workers have joined and how many were lost since the start. */
  readonly joined: number;
  readonly lost: number;
  readonly secondsLeft: number | undefined;
  /** The live page's URL. */
  readonly page: string | undefined;
}

/** An epoch, or the part of an epoch before the final evaluation. */
export interface EpochState {
  readonly epoch: number;
  readonly epochs: number;
  readonly train: { readonly loss: number; readonly accuracy: number } | undefined;
  readonly set: EvaluatedSet;
  readonly evaluation: { readonly loss: number; readonly accuracy: number };
  readonly seconds: number;
}

const MAX_BAR_COLUMNS = 30;
const MIN_BAR_COLUMNS = 8;

export interface Part {
  readonly text: string;
  /** Parts with the highest number are left out first when the line is too narrow. */
  readonly dropped: number;
  readonly isBar?: boolean;
}

/**
 * The live line, never wider than `width` columns: the bar shrinks first, then the least important
 * parts are left out.
 */
export function progressLine(state: ProgressState, width: number, isUnicode = false): Line {
  return fitLine(partsOf(state), state.step / Math.max(1, state.totalSteps), width, isUnicode);
}

/** The parts side by side within `width` columns; the bar shows `ratio`. */
export function fitLine(
  all: readonly Part[],
  ratio: number,
  width: number,
  isUnicode: boolean,
): Line {
  let parts = all;
  const columns = (each: readonly Part[]) =>
    each.reduce(
      (sum, part) => sum + (part.isBar === true ? MIN_BAR_COLUMNS : part.text.length),
      2 * (each.length - 1),
    );
  while (parts.length > 1 && columns(parts) > width) {
    const worst = Math.max(...parts.map(({ dropped }) => dropped));
    parts = parts.filter(({ dropped }) => dropped !== worst);
  }
  const barColumns = Math.min(MAX_BAR_COLUMNS, MIN_BAR_COLUMNS + width - columns(parts));
  const shown = parts.map((part) =>
    part.isBar === true ? bar(ratio, barColumns, isUnicode) : part.text,
  );
  const [only] = shown;
  if (shown.length === 1 && typeof only === 'string') return only.slice(0, Math.max(0, width));
  return joined(shown, '  ');
}

/** The progress as text for a log line, without a bar. */
export function progressText(state: ProgressState): string {
  const parts = partsOf(state).filter(({ isBar }) => isBar !== true);
  return parts.map(({ text }) => text).join('  ');
}

function partsOf(state: ProgressState): Part[] {
  return [
    { text: `epoch ${state.epoch}/${state.epochs}`, dropped: 2 },
    { text: '', dropped: 3, isBar: true },
    { text: `${state.step}/${state.totalSteps}`, dropped: 0 },
    ...known(state.loss, (loss) => `loss ${lossText(loss)}`, 1),
    ...known(state.accuracy, (accuracy) => `accuracy ${percent(accuracy)}`, 4),
    ...standingParts(state),
    ...(state.page === undefined ? [] : [{ text: state.page, dropped: 9 }]),
  ];
}

/** Speed and remaining time, or the workers that the run is waiting for. */
function standingParts(state: ProgressState): Part[] {
  const { readiness, imagesPerSecond, secondsLeft, joined: came, lost } = state;
  if (readiness?.isWaiting === true) return [{ text: waitText(readiness), dropped: 1 }];
  const { ready, late } = readiness ?? { ready: undefined, late: 0 };
  const changes = lost === 0 ? '' : ` (${came} joined, ${lost} lost)`;
  return [
    ...known(imagesPerSecond, (rate) => `${count(rate)} images/s`, 8),
    ...known(ready, (workers) => `${counted(workers, 'worker')}${changes}`, 7),
    ...known(secondsLeft, (seconds) => `${duration(seconds)} left`, 5),
    ...(late === 0 ? [] : [{ text: `${late} late`, dropped: 6 }]),
  ];
}

function known(
  value: number | undefined,
  show: (value: number) => string,
  dropped: number,
): Part[] {
  return value === undefined || Number.isNaN(value) ? [] : [{ text: show(value), dropped }];
}

/** The live line before the first step. */
export function waitLine(readiness: Readiness, seconds: number, width: number): Line {
  return fitLine(
    [
      { text: waitText(readiness), dropped: 0 },
      { text: duration(seconds), dropped: 1 },
    ],
    0,
    width,
    false,
  );
}

/**
 * A permanent line: `epoch 1/5  loss 0.2981  accuracy 91.40 %  test loss 0.1502  accuracy 95.60 %
 * 4.2 s`; if that is wider than `width`, `epoch 1/5  loss 0.2981, 91.40 %  test 0.1502, 95.60 %
 * 4.2 s`. With a validation set, its values stand in place of the test set's.
 */
export function epochLine(state: EpochState, width: number): Line {
  const { epoch, epochs, train, set, evaluation, seconds } = state;
  const head = [paint(`epoch ${String(epoch).padStart(String(epochs).length)}/${epochs}`, 'bold')];
  const accuracy = paint(percent(evaluation.accuracy), 'green');
  const whole = [
    head,
    ...(train === undefined
      ? []
      : [`loss ${lossText(train.loss)}`, `accuracy ${percent(train.accuracy)}`]),
    `${set} loss ${lossText(evaluation.loss)}`,
    ['accuracy ', accuracy],
    `${seconds.toFixed(1)} s`,
  ];
  const narrow = [
    head,
    ...(train === undefined ? [] : [`loss ${lossText(train.loss)}, ${percent(train.accuracy)}`]),
    [`${set} ${lossText(evaluation.loss)}, `, accuracy],
    `${seconds.toFixed(1)} s`,
  ];
  const line = joined(whole, '  ');
  return plainText(line).length <= width ? line : joined(narrow, '  ');
}

/** Four decimals, or an exponent if all of them would be 0 or the number is large. */
export function lossText(loss: number): string {
  return Math.abs(loss) >= 1e5 || (loss !== 0 && Math.abs(loss) < 1e-4)
    ? loss.toExponential(2)
    : loss.toFixed(4);
}

function bar(ratio: number, columns: number, isUnicode: boolean): Line {
  const full = Math.floor(Math.min(1, Math.max(0, ratio)) * columns);
  const [done, left] = isUnicode ? ['━', '─'] : ['#', '-'];
  return [paint(done.repeat(full), 'cyan'), paint(left.repeat(columns - full), 'dim')];
}
