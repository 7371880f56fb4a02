import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readRunRecord } from '../../coordinator/run-directory/read-run.ts';
import { ClusterError } from '../../shared/errors.ts';
import { METRICS_FILE, MODEL_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';
import { publicError } from './errors.ts';
import { MetricsTail } from './metrics-tail.ts';
import type { Training, TrainingEvaluation, TrainingStep, TrainOptions } from './public-types.ts';
import type { TrainResult } from './public-types.ts';
import { flagsOf, runCommand } from './run-command.ts';

/** Trains as `mnist-dist local` does, in processes of their own. */
export function runTraining(options: TrainOptions): Training {
  const run = new Run();
  const finished = trained(options, run);
  finished.then(
    () => run.end(),
    () => run.end(),
  );
  return Object.assign(finished, {
    [Symbol.asyncIterator]: () => eventsOf(finished, run),
  });
}

/** What is known of a run while it is trained. */
class Run {
  directory: string | undefined;
  hasEnded = false;
  readonly ended: Promise<void>;
  #end: () => void = () => undefined;

  constructor() {
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(): void {
    this.hasEnded = true;
    this.#end();
  }
}

async function trained(options: TrainOptions, run: Run): Promise<TrainResult> {
  const { signal } = options;
  try {
    const flags = flagsOf('local', { http: false, ...options });
    await runCommand(['local', '--no-progress', ...flags], [], {
      signal,
      abortFix: () => {
        const directory = begun(run);
        return directory === undefined ? undefined : `resume: '${directory}'`;
      },
      onRun: (directory) => {
        run.directory = directory;
      },
    });
    return await resultOf(run.directory);
  } catch (error) {
    throw publicError(error, signal, begun(run));
  }
}

/** The directory of a run that can be resumed. */
function begun({ directory }: Run): string | undefined {
  return directory !== undefined && existsSync(join(directory, RECORD_FILE))
    ? directory
    : undefined;
}

async function resultOf(directory: string | undefined): Promise<TrainResult> {
  if (directory === undefined) throw new Error('the run did not say where its directory is');
  const { model, step, result, stopped_early } = await readRunRecord(directory);
  if (model === undefined || result === undefined)
    throw new ClusterError('DATA', `${directory} has no result`);
  const { loss, accuracy } = result.test;
  return {
    directory,
    modelFile: join(directory, MODEL_FILE),
    modelSha256: model.sha256,
    step,
    test: { loss, accuracy },
    stoppedEarly: stopped_early,
  };
}

async function* eventsOf(
  finished: Promise<unknown>,
  run: Run,
): AsyncGenerator<TrainingStep | TrainingEvaluation, void, void> {
  // The loop throws the error, so that a caller need not wait for the promise.
  finished.catch(() => undefined);
  const tail = new MetricsTail();
  for (;;) {
    // Read before the file: what was written before the end is read after it.
    const { hasEnded, directory } = run;
    if (directory !== undefined) yield* readPublic(tail, join(directory, METRICS_FILE));
    if (hasEnded) break;
    await pause(run.ended);
  }
  await finished;
}

async function* readPublic(
  tail: MetricsTail,
  file: string,
): AsyncGenerator<TrainingStep | TrainingEvaluation, void, void> {
  try {
    yield* tail.read(file);
  } catch (error) {
    throw publicError(error);
  }
}

/** Resolves after a short time, or when the run has ended. */
async function pause(ended: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, POLL_MILLISECONDS);
  });
  await Promise.race([waited, ended]);
  clearTimeout(timer);
}

/** The coordinator writes its lines within a second. */
const POLL_MILLISECONDS = 100;
