import { join } from 'node:path';
import { Chain, firstLink } from '../../shared/files/chain.ts';
import {
  canonicalRecipe,
  parseConfiguration,
  type Configuration,
} from '../../shared/configuration.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  samplesIn,
  setAfterEpochs,
  type EvaluatedSet,
} from '../../shared/evaluation/evaluated-set.ts';
import {
  hasStoppedEarly,
  judge,
  judgingSet,
  type Judgement,
} from '../../shared/evaluation/judgement.ts';
import {
  MetricsReader,
  type EvaluationLine,
  type LinePosition,
  type MetricsLine,
  type StepLine,
} from '../../shared/files/metrics.ts';
import { decodeTensors } from '../../shared/files/safetensors.ts';
import { learningRateOf } from '../../shared/arithmetic/learning-rate.ts';
import { planStep, stepsPerEpoch, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { metricsOf, type RunContents } from '../run-directory/run-contents.ts';
import { isPerhapsMixed } from '../run-directory/read-run.ts';
import { METRICS_FILE, MODEL_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/**
 * A run's recorded results, to compare a replay with. The files that they come from agree with each
 * other.
 */
export interface RecordedResults {
  /** The last step in metrics.jsonl. */
  readonly lastStep: number;
  /** The lines of the steps that run.json and the checkpoints refer to. */
  readonly steps: ReadonlyMap<number, RecordedStep>;
  /** Whether metrics.jsonl ends with a torn line, which a crash may leave behind. */
  readonly isTorn: boolean;
  readonly evaluations: RecordedEvaluations;
  readonly model: RecordedModel | undefined;
}

/** The evaluations of each set, by step. */
export type RecordedEvaluations = Readonly<
  Record<EvaluatedSet, ReadonlyMap<number, EvaluationLine>>
>;

/** A step's line, where it ends, and where the lines of the step's evaluations end. */
export interface RecordedStep {
  readonly line: StepLine;
  readonly end: LinePosition;
  readonly evaluationEnds: readonly LinePosition[];
  /** With early stopping: the judgement before the step's evaluation. */
  readonly before: Judgement | undefined;
  /** The link of the step's evaluation and the judgement after it, if there is one that counts. */
  readonly judged: { readonly link: string; readonly judgement: Judgement } | undefined;
}

/** The step and configuration of model.safetensors. */
export interface RecordedModel {
  readonly step: number;
  readonly configuration: Configuration;
}

/** The error for a difference between the recorded and the computed run. */
export function differs(
  message: string,
  fix = "one of the run's files was changed, lost or damaged after it was written",
): ClusterError {
  return new ClusterError('DIFFERS', message, { fix });
}

/** Decodes a file; a damaged file throws DIFFERS instead of DATA. */
export function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'DATA') throw differs(error.message);
    throw error;
  }
}

/**
 * Compares a run's files with each other. Rejects with DIFFERS at the first contradiction, and
 * NOT_REPLAYABLE for a run without a recorded step or with mixed engines.
 */
export async function recordedResults(contents: RunContents): Promise<RecordedResults> {
  const { directory, record } = contents;
  const lines = await readLines(contents);
  checkRecord(contents, lines);
  checkEvaluations(contents, lines);
  if (lines.lastStep === 0)
    throw new ClusterError('NOT_REPLAYABLE', `${directory} has no step that can be recomputed`);
  if (isPerhapsMixed(record)) {
    const what = record.engine?.reproducible === false ? 'was' : 'may have been';
    throw new ClusterError(
      'NOT_REPLAYABLE',
      `${directory} ${what} computed with mixed engines (run.json: "reproducible": false, or ` +
        '"allow_mixed_engines": true)',
      { fix: 'only a run without --allow-mixed-engines can be reproduced byte for byte' },
    );
  }
  return { ...lines, model: recordedModel(contents, lines.lastStep) };
}

type Lines = Omit<RecordedResults, 'model'>;

/**
 * Reads all lines once, and keeps those of steps that other files refer to. Checks that steps
 * follow each other without a gap, that each chain link follows from its line and the previous
 * link, that learning rates are those of the schedule, and that each evaluation occurs once, after
 * its step.
 */
async function readLines({
  directory,
  record,
  checkpoints,
  configuration,
}: RunContents): Promise<Lines> {
  const path = join(directory, METRICS_FILE);
  const wanted = new Set([record.step, ...checkpoints.map(({ step }) => step)]);
  const steps = new Map<number, RecordedStep>();
  const evaluations = {
    validation: new Map<number, EvaluationLine>(),
    test: new Map<number, EvaluationLine>(),
  };
  const reader = new MetricsReader();
  let lastStep = 0;
  let link = firstLink(configuration);
  let judgement: Judgement | undefined;
  for await (const line of metricsOf(directory, reader)) {
    const place = `line ${reader.count} of ${path}`;
    checkPlace(line, lastStep, evaluations, place);
    checkSet(line, configuration, place);
    const { epoch } = planStep(configuration, line.step);
    if (line.epoch !== epoch)
      throw differs(
        `${place} puts step ${line.step} into epoch ${line.epoch}; it belongs to epoch ${epoch}`,
      );
    if (line.kind === 'evaluation') {
      checkEvaluationLink(line, link, configuration, place);
      link = line.chain ?? link;
      if (line.chain !== undefined)
        judgement = judge(judgement, { ...line, link: line.chain }, configuration);
      evaluations[line.set].set(line.step, line);
      const evaluated = steps.get(line.step);
      if (evaluated !== undefined)
        steps.set(line.step, {
          ...evaluated,
          evaluationEnds: [...evaluated.evaluationEnds, reader.position],
          judged:
            line.chain === undefined || judgement === undefined
              ? evaluated.judged
              : { link: line.chain, judgement },
        });
      continue;
    }
    if (hasStoppedEarly(judgement, configuration))
      throw differs(`${place} is step ${line.step}, but the run stopped early before it`);
    checkLink(line, link, path);
    checkRate(line, configuration, place);
    link = line.chain;
    lastStep = line.step;
    if (wanted.has(line.step))
      steps.set(line.step, {
        line,
        end: reader.position,
        evaluationEnds: [],
        before: judgement,
        judged: undefined,
      });
  }
  const { bad, rest, count } = reader;
  if (bad !== undefined) throw differs(`line ${bad.line} of ${path} is damaged: ${bad.reason}`);
  // A crash leaves at most the beginning of a line.
  if (/"digest":"[0-9a-f]{16}"\}./s.test(rest))
    throw differs(`line ${count + 1} of ${path} has text after its end`);
  return { lastStep, steps, evaluations, isTorn: rest !== '' };
}

function checkPlace(
  line: MetricsLine,
  last: number,
  evaluations: RecordedEvaluations,
  place: string,
): void {
  if (line.kind === 'step' && line.step !== last + 1)
    throw differs(`${place} is step ${line.step} instead of step ${last + 1}`);
  if (line.kind === 'evaluation' && (line.step > last || evaluations[line.set].has(line.step)))
    throw differs(`${place} is a misplaced evaluation after step ${line.step}`);
}

/** Checks that an evaluation is of a set that the run has. */
function checkSet(line: MetricsLine, configuration: Configuration, place: string): void {
  if (line.kind === 'step' || samplesIn(line.set, configuration) > 0) return;
  throw differs(`${place} is of a ${line.set} set, which the run does not have (run.json)`);
}

/** Checks that exactly the evaluations that count have a link, which follows from the last one. */
function checkEvaluationLink(
  line: EvaluationLine,
  link: string,
  configuration: Configuration,
  place: string,
): void {
  const counts = line.set === judgingSet(configuration);
  const expected = counts ? new Chain(link).addEvaluation(line) : undefined;
  if (line.chain !== expected)
    throw differs(`the chain breaks at ${place}: its link does not match its own numbers`);
}

/** Checks a line's learning rate, which the configuration determines. */
function checkRate(
  { step, learning_rate: recorded }: StepLine,
  configuration: Configuration,
  place: string,
): void {
  const rate = learningRateOf(configuration, step);
  if (recorded !== rate)
    throw differs(`${place} has the learning rate ${recorded}; that of step ${step} is ${rate}`);
}

/** Checks that a line's chain link follows from the line and the previous link. */
function checkLink(
  { step, samples, loss, correct, weights, chain }: StepLine,
  link: string,
  path: string,
): void {
  const linkFor = (exactLoss: number) =>
    new Chain(link).add({
      step,
      samples,
      loss: exactLoss,
      correct,
      weights: BigInt(`0x${weights}`),
    });
  // metrics.jsonl does not record the sign of zero; the chain does.
  if (linkFor(loss) === chain || (loss === 0 && linkFor(-0) === chain)) return;
  const what = step === 1 ? 'the configuration in run.json and its own numbers' : 'its own numbers';
  throw differs(`the chain breaks at step ${step} of ${path}: its link does not match ${what}`);
}

/** Checks the step, chain link and weights in run.json against the line of that step. */
function checkRecord(
  { directory, record, configuration }: RunContents,
  { steps, lastStep }: Lines,
): void {
  const path = join(directory, RECORD_FILE);
  const { step, chain, weights, state } = record;
  const recorded = steps.get(step);
  const line = recorded?.line;
  if (step > lastStep)
    throw differs(`${path} says that ${step} steps were done, but metrics.jsonl has ${lastStep}`);
  const expected = line?.chain ?? firstLink(configuration);
  // The run may have been interrupted before its evaluation, and resumed.
  if (chain !== expected && chain !== recorded?.judged?.link)
    throw differs(`${path} has a different chain link than step ${step}: ${chain}`);
  if (line !== undefined && weights !== line.weights)
    throw differs(`${path} has a different checksum of the weights than step ${step}: ${weights}`);
  if (state !== 'finished') return;
  const judgement = recorded?.judged?.judgement;
  checkBest(record, judgement, path);
  const isEarly = hasStoppedEarly(judgement, configuration);
  if (step !== totalSteps(configuration) && !isEarly) {
    throw differs(
      `${path} says that the run finished after ${step} of ${totalSteps(configuration)} steps`,
    );
  }
  if (record.result === undefined)
    throw differs(`${path} says that the run finished, but has no result`);
}

/** Checks what run.json says about the best evaluation against the recorded evaluations. */
function checkBest(
  { best: said, model, configuration: { keep_best: keepsBest } }: RunContents['record'],
  judgement: Judgement | undefined,
  path: string,
): void {
  const isSame =
    said?.step === judgement?.best.step &&
    said?.loss === judgement?.best.loss &&
    said?.waited === judgement?.waited &&
    model?.step === (keepsBest === true ? judgement?.best.step : undefined);
  if (isSame) return;
  const best = judgement === undefined ? 'no best step' : `best step ${judgement.best.step}`;
  throw differs(`${path} says that the best step was ${said?.step}; the lines have ${best}`);
}

/**
 * Checks that each epoch and a finished run end with an evaluation, and a finished run with that of
 * the test set. An evaluation after the last step may be missing unless the run has finished.
 */
function checkEvaluations(
  { directory, record, configuration }: RunContents,
  { lastStep, evaluations }: Lines,
): void {
  const perEpoch = stepsPerEpoch(configuration);
  const set = setAfterEpochs(configuration);
  const expected: { readonly set: EvaluatedSet; readonly step: number }[] = [];
  for (let step = perEpoch; step < lastStep; step += perEpoch) expected.push({ set, step });
  const { state, step: last } = record;
  if (state === 'finished') expected.push({ set, step: last }, { set: 'test', step: last });
  const missing = expected.find((each) => !evaluations[each.set].has(each.step));
  if (missing === undefined) return;
  const what = `the evaluation of the ${missing.set} set after step ${missing.step}`;
  throw differs(`${join(directory, METRICS_FILE)} lacks ${what}`);
}

/**
 * A run that has finished or was interrupted has the model of its last step. Any other run may have
 * a model from an earlier end, whose step is recorded only in the model's metadata.
 */
function recordedModel(
  { directory, record, configuration, model, writer }: RunContents,
  lastStep: number,
): RecordedModel | undefined {
  const path = join(directory, MODEL_FILE);
  if ((record.state === 'finished' || record.state === 'interrupted') && record.step > 0) {
    if (model === undefined) throw differs(`${path} is missing`);
    return { step: record.model?.step ?? record.step, configuration };
  }
  if (model === undefined) return undefined;
  const { metadata } = decoded(() => decodeTensors(model, path));
  const recorded = parseConfiguration(metadata['configuration'] ?? '');
  if (recorded === undefined || canonicalRecipe(recorded) !== canonicalRecipe(configuration))
    throw differs(`${path} has a different configuration than the run`);
  const text = metadata['step'] ?? '';
  const step = Number(text);
  if (!/^[1-9]\d*$/.test(text)) throw differs(`${path} does not say which step it is from`);
  if (step <= lastStep) return { step, configuration: recorded };
  // The run continued while it was being read.
  if (writer !== undefined) return undefined;
  throw differs(`${path} is from step ${step}, but metrics.jsonl ends at step ${lastStep}`);
}
