import { totalSteps } from '../shared/arithmetic/schedule.ts';
import { checkFileSizes } from '../shared/file-needs.ts';
import type { RunRecord } from '../shared/files/run-schema.ts';
import { openRecorder, type OpenSettings } from './open-run.ts';
import type { RunViewer } from './viewer.ts';
import type { Recorder } from './recorder.ts';
import { serve, type ServeSettings, type Serving } from './serve.ts';
import type { Outcome } from './decisions/effects.ts';

export type RunSettings = ServeSettings & OpenSettings;

export interface RunningCoordinator extends Pick<
  Serving<Recorder>,
  'port' | 'stop' | 'expect' | 'inspect' | 'weights' | 'unauthorized'
> {
  readonly directory: string;
  /** The size of the buffered lines, in bytes. */
  waitingBytes(): number;
  /** Whether lines are waiting because the disk is full. */
  isDiskFull(): boolean;
  /**
   * Resolves when everything is written and all workers have been notified. Rejects because of a
   * bug or a disk error.
   */
  readonly done: Promise<{ readonly outcome: Outcome; readonly record: RunRecord }>;
}

/**
 * Opens the listener, then the run directory, and gathers workers. Rejects with ADDRESS,
 * RUN_EXISTS, LOCKED, DATA, DISK or LIMIT.
 */
export async function startCoordinator(
  settings: RunSettings,
  viewer: RunViewer,
): Promise<RunningCoordinator> {
  checkFileSizes(settings.configuration, totalSteps(settings.configuration));
  const serving = await serve(
    settings,
    (context) => openRecorder(settings, context, viewer),
    (level, message, fields) => viewer.log(level, message, fields),
  );
  const { recorder } = serving;
  return {
    ...serving,
    directory: recorder.directory,
    waitingBytes: () => recorder.waitingBytes,
    isDiskFull: () => recorder.isDiskFull,
    done: serving.done.then(({ outcome, result }) => ({ outcome, record: result })),
  };
}
