import { join } from 'node:path';
import {
  metricsOf,
  linesIfThere,
  readIfThere,
  type RunContents,
} from '../../coordinator/run-directory/run-contents.ts';
import { tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { decodeCheckpoint } from '../../shared/files/checkpoint-file.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { MetricsReader } from '../../shared/files/metrics.ts';
import { shownRateOf } from '../../shared/arithmetic/learning-rate.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';
import { commandOf } from '../../shared/files/run-schema.ts';
import { readModel } from '../../shared/files/model-file.ts';
import { checkOwnModel } from '../../shared/files/own-model.ts';
import type { RunView, Status } from './api.ts';
import { Board } from './board.ts';
import { eventsFrom } from './event-lines.ts';
import { runFacts } from './facts.ts';
import { RunHistory } from './history.ts';
import { WorkerLabels } from '../metrics/worker-labels.ts';
import { worstIn, worstMistakes } from './worst-mistakes.ts';
import { tapFrom } from './json-lines.ts';
import type { Source, Weights } from './source.ts';
import { stateAtEnd } from './worker-statuses.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  MISTAKES_FILE,
  MODEL_FILE,
} from '../../shared/files/run-layout.ts';

/** A run shown from its directory; it does not change. */
export class RecordedRun implements Source {
  readonly #view: RunView | undefined;
  readonly #weights: Weights | undefined;

  readonly directory: string;
  /** The first damaged line of metrics.jsonl; it and the lines after it are not shown. */
  readonly bad: MetricsReader['bad'];

  private constructor(
    directory: string,
    view: RunView | undefined,
    weights: Weights | undefined,
    bad: MetricsReader['bad'],
  ) {
    this.directory = directory;
    this.#view = view;
    this.#weights = weights;
    this.bad = bad;
  }

  /**
   * `dataset` supplies the test set's pictures; undefined if it is not available. Rejects with a
   * DATA error if the model is damaged.
   */
  static async open(contents: RunContents, dataset: Dataset | undefined): Promise<RecordedRun> {
    const { directory, record, configuration } = contents;
    const { name, rows, columns, class_names: classNames } = record.dataset;
    const facts = { name, rows, columns, classNames };
    const labels = new WorkerLabels();
    const { version } = record;
    const board = new Board(
      runFacts(configuration, facts, { version, isLive: false, command: commandOf(record) }),
      (name) => labels.of(name),
    );
    const { run, term, started } = record;
    const reader = new MetricsReader();
    const history = new RunHistory();
    let last = 0;
    await board.restored({
      run,
      term,
      started,
      lines: tapFrom(metricsOf(directory, reader), (line) => {
        if (line.kind === 'step') last = line.step;
      }),
      events: tapFrom(eventsFrom(linesIfThere(join(directory, EVENTS_FILE))), (event) =>
        history.add(event),
      ),
    });
    if (record.result !== undefined) {
      const wrong = await worstIn(linesIfThere(join(directory, ARTIFACTS_FOLDER, MISTAKES_FILE)));
      const mistakes =
        dataset === undefined ? [] : worstMistakes(wrong, dataset.test.images, rows * columns);
      const { confusion } = record.result.test;
      board.evaluated({ set: 'test', step: record.step, confusion, mistakes });
    }
    const status = statusOf(contents, board, history, last);
    return new RecordedRun(directory, board.view(status), await weightsOf(contents), reader.bad);
  }

  readonly isOpen = true;
  readonly problem = undefined;

  view(): RunView | undefined {
    return this.#view;
  }

  turn(): undefined {
    return undefined;
  }

  weights(): Weights | undefined {
    return this.#weights;
  }

  scrape(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

function statusOf(
  { record, configuration }: RunContents,
  board: Board,
  history: RunHistory,
  step: number,
): Status {
  const samples = new Map(record.workers.map((worker) => [worker.name, worker.samples]));
  const names = new Set([...board.states.keys(), ...samples.keys()]);
  return {
    // If the record says "running", the coordinator crashed or is still running the run.
    state: record.state === 'running' ? 'interrupted' : record.state,
    message: record.error?.message ?? record.stopped_early ?? '',
    problem: '',
    at: Date.parse(record.ended ?? record.started),
    step,
    epoch: step === 0 ? 0 : planStep(configuration, step).epoch,
    learningRate: shownRateOf(configuration, step),
    seconds: history.seconds(),
    secondsLeft: undefined,
    workers: [...names].map((name) => ({
      name,
      state: stateAtEnd(board.states.get(name) ?? 'lost'),
      engine: history.engines.get(name) ?? '',
      samples: samples.get(name) ?? 0,
      computing: 0,
      exchanging: 0,
      roundTripMilliseconds: undefined,
    })),
    waiting: '',
    joined: history.joined,
    lost: history.lost,
    stragglerSteps: undefined,
    reassigned: undefined,
    checkpointStep: board.checkpointStep,
  };
}

/** The weights of the finished model or, if there is none, of the newest checkpoint. */
async function weightsOf({ directory, model, record, checkpoints, configuration }: RunContents) {
  if (model !== undefined) {
    const name = join(directory, MODEL_FILE);
    const found = readModel(model, name);
    checkOwnModel({ name, bytes: model, ...found }, record);
    return { step: found.step, weights: found.weights };
  }
  // The checkpoints of an older arithmetic have a different format.
  if (record.arithmetic !== ARITHMETIC) return undefined;
  for (const { path } of checkpoints.toReversed()) {
    // If the run is in progress, its coordinator may have removed a listed checkpoint.
    const bytes = await readIfThere(path, tensorFileLimit);
    if (bytes === undefined) continue;
    const { step, weights } = decodeCheckpoint(bytes, path, configuration);
    return { step, weights };
  }
  return undefined;
}
