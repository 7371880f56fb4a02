import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { linesIfThere } from '../../coordinator/run-directory/run-contents.ts';
import { eventsFrom } from '../../dashboards/feed/event-lines.ts';
import { totalSteps } from '../../shared/arithmetic/schedule.ts';
import { configurationOfRecord } from '../../shared/configuration.ts';
import {
  evaluatedSets,
  setAfterEpochs,
  type EvaluatedSet,
} from '../../shared/evaluation/evaluated-set.ts';
import { EVENTS_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';
import type { RunStatus } from '../../shared/files/run-schema.ts';
import { readRecordedRun } from '../runs/run-overview.ts';
import { stopOf } from './stopping-rule.ts';
import type { SweepRecord } from './sweep-record.ts';

/** How a trial went, as its run directory records it. */
export interface TrialResult {
  readonly run: string;
  readonly directory: string;
  /** The values of the varied options, by name. */
  readonly values: Readonly<Record<string, string>>;
  /** `waiting` if the run has not begun, `stopped` if --stop-after ended it. */
  readonly state: 'waiting' | 'stopped' | RunStatus;
  /** The set that is evaluated after each epoch. */
  readonly set: EvaluatedSet | undefined;
  readonly evaluations: readonly EpochScore[];
  /** How many steps the run has without an early end; undefined if it has not begun. */
  readonly totalSteps: number | undefined;
  /** The evaluation with the highest accuracy. */
  readonly best: EpochScore | undefined;
  /** The score of the run's model on the test set; undefined before the run is finished. */
  readonly test: Score | undefined;
  /** How long its coordinators ran it, without the wait for workers. */
  readonly seconds: number | undefined;
}

export interface Score {
  /** A ratio, 0..1. */
  readonly accuracy: number;
  readonly loss: number;
}

export interface EpochScore extends Score {
  readonly step: number;
  readonly epoch: number;
}

const evaluationSchema = z.object({
  set: z.enum(evaluatedSets),
  step: z.int(),
  epoch: z.int(),
  samples: z.int().min(1),
  correct: z.int().min(0),
  loss: z.number(),
});

/** Reads the results of all trials. Rejects with DATA if a run cannot be read. */
export async function readResults(directory: string, record: SweepRecord): Promise<TrialResult[]> {
  const results: TrialResult[] = [];
  for (const trial of record.trials)
    results.push(await readTrial(directory, trial, record, results));
  return results;
}

/** Reads the result of a trial, given those of earlier ones. Rejects with DATA. */
export async function readTrial(
  directory: string,
  trial: SweepRecord['trials'][number],
  record: SweepRecord,
  earlier: readonly TrialResult[],
): Promise<TrialResult> {
  const result = await readResult(directory, trial);
  return mustStop(result, earlier, record) ? { ...result, state: 'stopped' } : result;
}

/** Whether a trial has ended, so that a sweep that is continued does not run it. */
export function isOver({ state }: TrialResult): boolean {
  return state === 'finished' || state === 'diverged' || state === 'stopped';
}

/** Whether a trial would have stopped if it had not been killed before. */
function mustStop(
  { state, evaluations, totalSteps: steps }: TrialResult,
  earlier: readonly TrialResult[],
  { stop_after: from }: SweepRecord,
): boolean {
  if (from === undefined || state === 'finished' || state === 'diverged') return false;
  if (evaluations.at(-1)?.step === steps) return false;
  return stopOf(evaluations, evaluationsIn(earlier), from) !== undefined;
}

export function evaluationsIn(results: readonly TrialResult[]): (readonly EpochScore[])[] {
  return results.map(({ evaluations }) => evaluations);
}

async function readResult(
  sweep: string,
  { run, values }: SweepRecord['trials'][number],
): Promise<TrialResult> {
  const directory = join(sweep, run);
  if (!existsSync(join(directory, RECORD_FILE)))
    return {
      run,
      directory,
      values,
      state: 'waiting',
      set: undefined,
      evaluations: [],
      totalSteps: undefined,
      best: undefined,
      test: undefined,
      seconds: undefined,
    };
  const { overview, record } = await readRecordedRun(directory, run, Date.now());
  const configuration = configurationOfRecord(record.configuration);
  const set = setAfterEpochs(configuration);
  const evaluations = await evaluationsOf(directory, set);
  return {
    run,
    directory,
    values,
    state: record.error?.code === 'STOPPED' ? 'stopped' : overview.state,
    set,
    evaluations,
    totalSteps: totalSteps(configuration),
    best: bestOf(evaluations),
    test: record.result?.test,
    seconds: overview.seconds - (overview.waited ?? 0),
  };
}

/** The evaluations of a set in order; one that a resumed run repeated counts once. */
async function evaluationsOf(directory: string, set: EvaluatedSet): Promise<EpochScore[]> {
  const found = new Map<number, EpochScore>();
  for await (const event of eventsFrom(linesIfThere(join(directory, EVENTS_FILE)))) {
    if (event.event !== 'evaluation') continue;
    const { data } = evaluationSchema.safeParse(event);
    if (data?.set !== set) continue;
    const { step, epoch, correct, samples, loss } = data;
    found.set(step, { step, epoch, accuracy: correct / samples, loss });
  }
  return [...found].toSorted(([a], [b]) => a - b).map(([, score]) => score);
}

/** The highest accuracy; of equal ones, the lowest loss, then the earliest. */
export function bestOf<S extends Score>(scores: readonly S[]): S | undefined {
  return scores.toSorted((a, b) => b.accuracy - a.accuracy || a.loss - b.loss)[0];
}

/** The trials with a score, best first. */
export function ranked(results: readonly TrialResult[]): (TrialResult & { best: EpochScore })[] {
  return results
    .flatMap((result) => (result.best === undefined ? [] : [{ ...result, best: result.best }]))
    .toSorted((a, b) => b.best.accuracy - a.best.accuracy || a.best.loss - b.best.loss);
}
