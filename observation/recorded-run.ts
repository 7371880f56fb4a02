import { join } from 'node:path';
import { lineFileLimit, readIfThere, type Evidence } from '../coordinator/evidence.ts';
import { readEntry, tensorFileLimit } from '../data/regular-file.ts';
import { decodeCheckpoint } from '../shared/checkpoint-file.ts';
import type { Dataset } from '../shared/dataset.ts';
import { planStep } from '../shared/schedule.ts';
import { decodeModel } from '../shared/model-file.ts';
import type { RunView, Status } from './api.ts';
import { Board } from './board.ts';
import { parseEvents, type RecordedEvent } from './event-lines.ts';
import { runFacts } from './facts.ts';
import { WorkerLabels } from './labels.ts';
import { parseMisclassified, worstMistakes } from './mistakes.ts';
import type { Source, Weights } from './source.ts';

/** A run as its directory tells of it; nothing of it changes any more. */
export class RecordedRun implements Source {
  readonly #view: RunView | undefined;
  readonly #weights: Weights | undefined;

  private constructor(view: RunView | undefined, weights: Weights | undefined) {
    this.#view = view;
    this.#weights = weights;
  }

  /** `dataset` has the pictures of its test set; undefined where it is not at hand. Rejects with DATA for a damaged model. */
  static async open(evidence: Evidence, dataset: Dataset | undefined): Promise<RecordedRun> {
    const { directory, record, configuration, metrics } = evidence;
    const { name, rows, columns, class_names: classNames } = record.dataset;
    const facts = { name, rows, columns, classNames };
    const events = parseEvents(await textOf(join(directory, 'events.jsonl')));
    const labels = new WorkerLabels();
    const board = new Board(runFacts(configuration, facts, record.version, false), (name) => labels.of(name));
    const { run, term, started } = record;
    board.opened({ run, term, started, lines: metrics.lines, events });
    if (record.result !== undefined) {
      const wrong = parseMisclassified(await textOf(join(directory, 'artifacts', 'misclassified.jsonl')));
      const mistakes = dataset === undefined ? [] : worstMistakes(wrong, dataset.test.images, rows * columns);
      board.evaluated({ step: record.step, confusion: record.result.test.confusion, mistakes });
    }
    const last = metrics.lines.findLast(({ kind }) => kind === 'step')?.step ?? 0;
    const status = statusOf(evidence, board, events, last);
    return new RecordedRun(board.view(status), await weightsOf(evidence));
  }

  readonly isOpen = true;

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
  { record, configuration }: Evidence,
  board: Board,
  events: readonly RecordedEvent[],
  step: number,
): Status {
  const count = (name: string) => events.filter(({ event }) => event === name).length;
  const samples = new Map(record.workers.map((worker) => [worker.name, worker.samples]));
  const names = new Set([...board.states.keys(), ...samples.keys()]);
  return {
    // One that says it is running was cut off, or another process is at work on it.
    state: record.state === 'running' ? 'interrupted' : record.state,
    message: record.error?.message ?? '',
    ...{ step, epoch: step === 0 ? 0 : planStep(configuration, step).epoch },
    // The clock of an older version may have been set back in between.
    seconds: Math.max(0, Date.parse(record.ended ?? record.started) - Date.parse(record.started)) / 1000,
    secondsLeft: undefined,
    workers: [...names].map((name) => ({
      ...{ name, state: board.states.get(name) ?? 'lost', engine: '', samples: samples.get(name) ?? 0 },
      ...{ computing: 0, exchanging: 0, roundTripMilliseconds: undefined },
    })),
    awaited: 0,
    ...{ joined: count('hello'), lost: count('lost') },
    ...{ stragglerSteps: 0, reassigned: 0, checkpointStep: board.checkpointStep },
  };
}

/** Of the finished model, else of the newest checkpoint. */
async function weightsOf({ directory, model, record, checkpoints, configuration }: Evidence) {
  if (model !== undefined) {
    const path = join(directory, 'model.safetensors');
    return { step: record.step, weights: decodeModel(model, path, configuration) };
  }
  const newest = checkpoints.at(-1);
  if (newest === undefined) return undefined;
  const bytes = await readEntry(newest.path, tensorFileLimit);
  const { step, weights } = decodeCheckpoint(bytes, newest.path, configuration);
  return { step, weights };
}

async function textOf(path: string): Promise<string> {
  return (await readIfThere(path, lineFileLimit))?.toString('utf8') ?? '';
}
