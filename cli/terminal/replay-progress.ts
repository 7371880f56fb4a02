import { count, duration } from '../../shared/text/number-format.ts';
import { fitLine, type Part } from './progress-line.ts';
import {
  intervalTicker,
  LOG_MILLISECONDS,
  REDRAW_MILLISECONDS,
  type ProgressOptions,
} from './live-terminal.ts';

/** The progress display of a replay. */
export interface ReplayProgress {
  /** Records that this step was recomputed. */
  step(step: number): void;
  /** Removes the live line and stops the timer; may be called twice. */
  close(): void;
}

/**
 * Shows the progress from step `first` + 1 to `last`: a live line on a terminal, otherwise a log
 * line about every five seconds.
 */
export function replayProgress(
  options: ProgressOptions,
  first: number,
  last: number,
): ReplayProgress {
  const { output, log, live, clock, ticker = intervalTicker } = options;
  let step = first;
  let shown = first;
  // The rate is measured from the first step on, so it excludes the wait for workers.
  let mark: { readonly step: number; readonly at: number } | undefined;
  const rate = () => {
    const seconds = mark === undefined ? 0 : (clock() - mark.at) / 1000;
    return mark === undefined || seconds <= 0 ? undefined : (step - mark.step) / seconds;
  };
  const show = () => {
    if (step === shown) return;
    shown = step;
    const stepsPerSecond = rate();
    const parts = partsOf(step - first, last - first, stepsPerSecond);
    if (live)
      return output.draw(
        fitLine(parts, (step - first) / (last - first), output.liveWidth, output.style.unicode),
      );
    const text = parts.filter(({ isBar }) => isBar !== true).map((part) => part.text);
    log.info({ event: 'progress', step, lastStep: last, stepsPerSecond }, text.join('  '));
  };
  const stop = ticker(show, live ? REDRAW_MILLISECONDS : LOG_MILLISECONDS);
  return {
    step: (done) => {
      mark ??= { step: done, at: clock() };
      step = done;
    },
    close: () => {
      stop();
      if (live) output.draw('');
    },
  };
}

function partsOf(done: number, all: number, stepsPerSecond: number | undefined): Part[] {
  const rate: Part[] =
    stepsPerSecond === undefined || stepsPerSecond === 0
      ? []
      : [
          { text: `${count(stepsPerSecond)} steps/s`, dropped: 1 },
          { text: `${duration((all - done) / stepsPerSecond)} left`, dropped: 2 },
        ];
  return [
    { text: '', dropped: 3, isBar: true },
    { text: `${count(done)} of ${count(all)} steps verified`, dropped: 0 },
    ...rate,
  ];
}
