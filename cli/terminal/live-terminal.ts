import type { Log, LogFields, LogFormat, LogLevel } from './log.ts';
import { createLogger } from './log.ts';
import type { Inspection } from '../../coordinator/inspection.ts';
import { epochLine, progressLine, progressText, waitLine } from './progress-line.ts';
import { plainText } from './styled-line.ts';
import type { Output } from './output.ts';
import type { Summary } from './summary.ts';
import { summaryLines } from './summary.ts';
import type { EvaluationInfo, StepInfo } from './progress-tracker.ts';
import { ProgressTracker } from './progress-tracker.ts';

/**
 * The progress display of a run. `step` takes about a microsecond: it stores numbers, and a timer
 * draws them. Warnings do not need a method, since the log writes to the same output, above the
 * live line.
 */
export interface Progress {
  step(info: StepInfo): void;
  /** Records an event of the run, by its name in events.jsonl. */
  event(event: string): void;
  /** Sets the function that returns the run's state. */
  attach(inspect: () => Inspection): void;
  /** Sets the URL of the live page. */
  page(url: string): void;
  /** Prints a permanent line for an evaluation. */
  evaluation(info: EvaluationInfo): void;
  /** Prints the summary; nothing is drawn after it. */
  summary(summary: Summary): void;
  /** Removes the live line and stops the timer; may be called twice. */
  close(): void;
}

/**
 * Calls `task` every `milliseconds` until the returned function is called; must not keep the
 * process alive.
 */
export type Ticker = (task: () => void, milliseconds: number) => () => void;

export interface ProgressOptions {
  readonly output: Output;
  readonly log: Log;
  /** Whether the output is a terminal with a live line. */
  readonly live: boolean;
  readonly logFormat: LogFormat;
  /** Whether progress is hidden between the permanent lines. */
  readonly isQuiet: boolean;
  /** Monotonic clock, in milliseconds. */
  readonly clock: () => number;
  readonly ticker?: Ticker;
}

export interface TerminalOptions {
  readonly output: Output;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Whether to hide progress and show only log lines and the summary. */
  readonly isQuiet?: boolean;
  /** Fields to add to every log line. */
  readonly fields?: LogFields;
  readonly clock?: () => number;
  readonly ticker?: Ticker;
}

export const REDRAW_MILLISECONDS = 100;
export const LOG_MILLISECONDS = 5_000;
/** Width used for a file, since the reader's terminal is unknown. */
const FILE_COLUMNS = 120;

export function createProgress(options: ProgressOptions): Progress {
  return options.live ? liveProgress(options) : logProgress(options);
}

/**
 * Creates the log and the progress display of a run on one stream: a live line with log lines above
 * it on a terminal with a text log, otherwise only log lines.
 */
export function openTerminal(options: TerminalOptions): { log: Log; progress: Progress } {
  const { log, ...whole } = openScreen(options);
  return { log, progress: createProgress({ ...whole, log }) };
}

/** Creates the log and the options of a progress display, without the display. */
export function openScreen(options: TerminalOptions): ProgressOptions {
  const {
    output,
    logLevel,
    logFormat,
    fields = {},
    isQuiet = false,
    clock = () => performance.now(),
    ticker,
  } = options;
  const live = output.isLive && logFormat === 'text';
  const log = createLogger({ level: logLevel, format: logFormat, destination: output, fields });
  return {
    output,
    log,
    live,
    logFormat,
    isQuiet,
    clock,
    ...(ticker === undefined ? {} : { ticker }),
  };
}

/** A live line, redrawn at most ten times per second, and a permanent line per epoch. */
function liveProgress({
  output,
  clock,
  isQuiet,
  ticker = intervalTicker,
}: ProgressOptions): Progress {
  const tracker = new ProgressTracker(clock);
  const opened = clock();
  const draw = () => {
    const state = tracker.state();
    const { readiness } = tracker;
    if (state !== undefined)
      output.draw(progressLine(state, output.liveWidth, output.style.unicode));
    else if (readiness?.isWaiting === true)
      output.draw(waitLine(readiness, (clock() - opened) / 1000, output.liveWidth));
  };
  const stop = isQuiet ? () => undefined : ticker(draw, REDRAW_MILLISECONDS);
  const close = () => {
    stop();
    output.draw('');
  };
  return {
    step: (info) => tracker.add(info),
    event: (event) => tracker.event(event),
    attach: (inspect) => tracker.attach(inspect),
    page: (url) => tracker.showPage(url),
    evaluation: (info) => output.write(epochLine(tracker.evaluated(info), output.columns)),
    summary: (summary) => {
      close();
      output.write('', ...summaryLines(summary, output.width));
    },
    close,
  };
}

/** Log lines: one about every five seconds and one per epoch. */
function logProgress(options: ProgressOptions): Progress {
  const { output, log, logFormat, clock, isQuiet, ticker = intervalTicker } = options;
  const tracker = new ProgressTracker(clock);
  let shownStep = 0;
  const show = () => {
    const state = tracker.state();
    if (state === undefined || state.step === shownStep) return;
    shownStep = state.step;
    log.info({ event: 'progress', ...state }, progressText(state));
  };
  const stop = isQuiet ? () => undefined : ticker(show, LOG_MILLISECONDS);
  return {
    step: (info) => tracker.add(info),
    event: (event) => tracker.event(event),
    attach: (inspect) => tracker.attach(inspect),
    page: (url) => tracker.showPage(url),
    evaluation: (info) => {
      const state = tracker.evaluated(info);
      log.info(
        { event: 'evaluation', step: info.step, ...state },
        plainText(epochLine(state, Infinity)),
      );
    },
    summary: (summary) => {
      stop();
      if (logFormat === 'text') output.write('', ...summaryLines(summary, FILE_COLUMNS));
      else log.info({ event: 'summary', ...summary }, `test accuracy ${summary.test.accuracy}`);
    },
    close: stop,
  };
}

export const intervalTicker: Ticker = (task, milliseconds) => {
  const timer = setInterval(task, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
};
