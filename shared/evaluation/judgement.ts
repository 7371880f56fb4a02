import type { EvaluatedSet } from './evaluated-set.ts';
import { setAfterEpochs } from './evaluated-set.ts';

/** An evaluation that counts: its step, its loss and its chain link. */
export interface Judged {
  readonly step: number;
  readonly loss: number;
  readonly link: string;
}

/** What a run with early stopping remembers of its evaluations; all runs count the same way. */
export interface Judgement {
  /** The step of the last evaluation that counted. */
  readonly step: number;
  /** The best evaluation; of equal losses, the earlier one. */
  readonly best: Judged;
  /** The number of evaluations since the best one. */
  readonly waited: number;
}

export interface JudgingRule {
  readonly earlyStopping?: number | undefined;
  readonly keepBest?: true | undefined;
  readonly minDelta?: number | undefined;
  readonly validationSamples?: number | undefined;
}

/** The set whose evaluations decide when a run stops or which model it keeps, if one does. */
export function judgingSet(rule: JudgingRule): EvaluatedSet | undefined {
  const isJudged = rule.earlyStopping !== undefined || rule.keepBest === true;
  return isJudged ? setAfterEpochs(rule) : undefined;
}

/**
 * Counts an evaluation, as Keras does: it is the best if its loss is below the best loss so far
 * minus `minDelta`. An evaluation that was counted before does not change anything.
 */
export function judge(
  before: Judgement | undefined,
  { step, loss, link }: Judged,
  { minDelta = 0 }: JudgingRule,
): Judgement {
  if (before !== undefined && step <= before.step) return before;
  const isBest = before === undefined || loss < before.best.loss - minDelta;
  if (isBest) return { step, best: { step, loss, link }, waited: 0 };
  return { ...before, step, waited: before.waited + 1 };
}

/**
 * Whether a run stops early: there were as many evaluations without an improvement as its patience
 * says. A patience of 0 is the same as 1, as in Keras.
 */
export function hasStoppedEarly(
  judgement: Judgement | undefined,
  { earlyStopping }: JudgingRule,
): boolean {
  if (earlyStopping === undefined || judgement === undefined) return false;
  return judgement.waited >= Math.max(1, earlyStopping);
}
