import type { ErrorCode } from '../shared/errors.ts';
import type { RunRecord } from '../shared/run-schema.ts';
import { openRecorder, type OpenSettings } from './open-run.ts';
import type { RunViewer } from './recorder.ts';
import { serve, type ServeSettings } from './serve.ts';
import type { Outcome } from './effects.ts';

export type RunSettings = ServeSettings & OpenSettings;

export interface RunningCoordinator {
  readonly port: number;
  readonly directory: string;
  /** Ends the run in good order, after the open step. */
  stop(code: ErrorCode): void;
  /** Resolves when everything is written and everybody told; rejects on a defect or a full disk. */
  readonly done: Promise<{ readonly outcome: Outcome; readonly record: RunRecord }>;
}

/**
 * Opens the listener, then the run directory, and begins to gather workers. Rejects with ADDRESS, RUN_EXISTS, LOCKED, DATA, DISK
 * or LIMIT.
 */
export async function startCoordinator(
  settings: RunSettings,
  viewer: RunViewer,
): Promise<RunningCoordinator> {
  const serving = await serve(
    settings,
    (workplace) => openRecorder(settings, workplace, viewer),
    (level, message, fields) => viewer.log(level, message, fields),
  );
  const { port, recorder } = serving;
  return {
    ...{ port, directory: recorder.directory },
    stop: (code) => serving.stop(code),
    done: serving.done.then(({ outcome, result }) => ({ outcome, record: result })),
  };
}
