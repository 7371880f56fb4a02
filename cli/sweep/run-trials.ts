import { assert, ClusterError, errorTable } from '../../shared/errors.ts';
import { counted, duration, percent } from '../../shared/text/number-format.ts';
import type { StopRequest } from '../processes/supervised.ts';
import type { Log } from '../terminal/log.ts';
import type { PlannedTrial } from './planned-trial.ts';
import { runTrial, type StopRule, type SweepContext } from './run-trial.ts';
import { stopOf } from './stopping-rule.ts';
import type { SweepRecord } from './sweep-record.ts';
import {
  evaluationsIn,
  isOver,
  readResults,
  readTrial,
  type TrialResult,
} from './trial-results.ts';

export interface Trials extends SweepContext {
  readonly record: SweepRecord;
  readonly log: Log;
}

/** Runs all trials that are not over, one after the other, and logs how they go. */
export async function runTrials(trials: readonly PlannedTrial[], context: Trials): Promise<void> {
  const { directory, record, stopping, log } = context;
  const { stop_after: from } = record;
  const results = await readResults(directory, record);
  const done = results.filter(isOver).length;
  log.info(
    { sweep: directory, trials: trials.length, done },
    `sweep ${directory}: ${counted(trials.length, 'trial')}` +
      (done === 0 ? '' : `, ${done} of them done`),
  );
  for (const [i, trial] of trials.entries()) {
    const was = results[i];
    const recorded = record.trials[i];
    assert(was !== undefined && recorded !== undefined, 'the record has all trials');
    if (isOver(was)) continue;
    if (stopping.code !== undefined) throw stopped(stopping.code, context.command);
    const again = was.state === 'waiting' ? '' : ', resumed';
    log.info(
      { run: trial.run, ...was.values },
      `${trial.run} of ${trials.length}${again}: ${valuesText(was.values)}`,
    );
    const earlier = results.slice(0, i);
    const rule = from === undefined ? undefined : ruleOf(earlier, from);
    await runTrial(trial, was, rule, context);
    const result = await readTrial(directory, recorded, record, earlier);
    results[i] = result;
    log.info({ run: trial.run, state: result.state, ...result.best }, resultText(result));
  }
}

function ruleOf(earlier: readonly TrialResult[], from: number): StopRule {
  const evaluations = evaluationsIn(earlier);
  return (own) => stopOf(own, evaluations, from) !== undefined;
}

function stopped(code: NonNullable<StopRequest['code']>, command: string): ClusterError {
  return new ClusterError(code, errorTable[code].meaning, { fix: `resume it with: ${command}` });
}

function valuesText(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, text]) => `${name} ${text}`)
    .join(', ');
}

function resultText({ run, state, evaluations, best, set, test, seconds }: TrialResult): string {
  if (best === undefined) return `${run}: ${state}`;
  const outcome =
    state === 'stopped' ? `stopped after epoch ${evaluations.at(-1)?.epoch ?? 0}` : state;
  const parts = [
    `${set} accuracy ${percent(best.accuracy)} (epoch ${best.epoch})`,
    ...(test === undefined ? [outcome] : [`test ${percent(test.accuracy)}`]),
    duration(seconds),
  ];
  return `${run}: ${parts.join(', ')}`;
}
