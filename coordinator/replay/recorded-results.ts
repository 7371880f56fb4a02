import { join } from 'node:path';
import { Chain, firstLink } from '../../shared/files/chain.ts';
import {
  canonicalRecipe,
  parseConfiguration,
  type Configuration,
} from '../../shared/configuration.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  MetricsReader,
  type EvaluationLine,
  type LinePosition,
  type MetricsLine,
  type StepLine,
} from '../../shared/files/metrics.ts';
import { decodeTensors } from '../../shared/files/safetensors.ts';
import { planStep, stepsPerEpoch, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { metricsOf, type RunContents } from '../run-directory/run-contents.ts';
import { isPerhapsMixed } from '../run-directory/read-run.ts';
import { METRICS_FILE, MODEL_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/**
 * What a run says of itself, once its files do not contradict each other: this is what a replay is
 * compared with.
 */
export interface RecordedResults {
  /** The last step of metrics.jsonl. */
  readonly lastStep: number;
  /** The steps of run.json, of checkpoints and of the model, as far as metrics.jsonl has them. */
  readonly steps: ReadonlyMap<number, RecordedStep>;
  /** Whether metrics.jsonl ends with the beginning of a line, as a crash leaves it. */
  readonly isTorn: boolean;
  /** By the step after which they were made. */
  readonly evaluations: ReadonlyMap<number, EvaluationLine>;
  readonly model: RecordedModel | undefined;
}

/** A step's line, where it ends, and where the line of its evaluation ends, if there is one. */
export interface RecordedStep {
  readonly line: StepLine;
  readonly end: LinePosition;
  readonly evaluationEnd: LinePosition | undefined;
}

/**
 * model.safetensors holds the weights after this step, of a run that was to be as long as its
 * configuration says.
 */
export interface RecordedModel {
  readonly step: number;
  readonly configuration: Configuration;
}

/** A difference between what was recorded and what is so. */
export function differs(
  message: string,
  fix = 'a file of the run was changed, lost or damaged after it was written',
): ClusterError {
  return new ClusterError('DIFFERS', message, { fix });
}

/** A file that cannot be decoded is not what was written: what threw DATA throws DIFFERS. */
export function decoded<T>(decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'DATA') throw differs(error.message);
    throw error;
  }
}

/**
 * Compares a run's files with each other. Throws DIFFERS at the first contradiction, and
 * NOT_REPLAYABLE where nothing can be computed again: no step was written, or engines were mixed.
 */
export function recordedResults(contents: RunContents): RecordedResults {
  const { directory, record } = contents;
  const lines = readLines(contents);
  checkRecord(contents, lines);
  checkEvaluations(contents, lines);
  if (lines.lastStep === 0)
    throw new ClusterError(
      'NOT_REPLAYABLE',
      `${directory} holds no step that could be computed again`,
    );
  if (isPerhapsMixed(record)) {
    const what = record.engine?.reproducible === false ? 'was' : 'may have been';
    throw new ClusterError(
      'NOT_REPLAYABLE',
      `${directory} ${what} computed by mixed engines (run.json: "reproducible": false, or "allow_mixed_engines": true)`,
      { fix: 'only a run without --allow-mixed-engines has bytes that can be computed again' },
    );
  }
  return { ...lines, model: recordedModel(contents, lines.lastStep) };
}

type Lines = Omit<RecordedResults, 'model'>;

/**
 * Reads all lines once, and keeps those of the other files' steps. Steps follow each other without
 * a gap, each with the link that follows from its line and the link before; an evaluation comes
 * after its step, once.
 */
function readLines({ directory, record, checkpoints, configuration }: RunContents): Lines {
  const path = join(directory, METRICS_FILE);
  const wanted = new Set([record.step, ...checkpoints.map(({ step }) => step)]);
  const steps = new Map<number, RecordedStep>();
  const evaluations = new Map<number, EvaluationLine>();
  const reader = new MetricsReader();
  let lastStep = 0;
  let link = firstLink(configuration);
  for (const line of metricsOf(directory, reader)) {
    const place = `line ${reader.count} of ${path}`;
    checkPlace(line, lastStep, evaluations, place);
    const { epoch } = planStep(configuration, line.step);
    if (line.epoch !== epoch)
      throw differs(
        `${place} puts step ${line.step} into epoch ${line.epoch}; it belongs to epoch ${epoch}`,
      );
    if (line.kind === 'evaluation') {
      evaluations.set(line.step, line);
      const evaluated = steps.get(line.step);
      if (evaluated !== undefined)
        steps.set(line.step, { ...evaluated, evaluationEnd: reader.position });
      continue;
    }
    checkLink(line, link, path);
    link = line.chain;
    lastStep = line.step;
    if (wanted.has(line.step))
      steps.set(line.step, { line, end: reader.position, evaluationEnd: undefined });
  }
  const { bad, rest, count } = reader;
  if (bad !== undefined)
    throw differs(`line ${bad.line} of ${path} is not what was written: ${bad.reason}`);
  // A crash leaves the beginning of a line, never more than a line.
  if (/"digest":"[0-9a-f]{16}"\}./s.test(rest))
    throw differs(`line ${count + 1} of ${path} has text after its end`);
  return { lastStep, steps, evaluations, isTorn: rest !== '' };
}

function checkPlace(
  line: MetricsLine,
  last: number,
  evaluations: ReadonlyMap<number, EvaluationLine>,
  place: string,
): void {
  if (line.kind === 'step' && line.step !== last + 1)
    throw differs(`${place} is step ${line.step}; step ${last + 1} should stand there`);
  if (line.kind === 'evaluation' && (line.step > last || evaluations.has(line.step)))
    throw differs(`${place} is an evaluation after step ${line.step}, which does not belong there`);
}

/** A line's link follows from the line itself and the link before. */
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
  // JSON has no negative zero; the chain has.
  if (linkFor(loss) === chain || (loss === 0 && linkFor(-0) === chain)) return;
  const what = step === 1 ? 'the configuration in run.json and its own numbers' : 'its own numbers';
  throw differs(`the chain breaks at step ${step} of ${path}: its link is not that of ${what}`);
}

/**
 * The step, link and weights of run.json are those of its line; the lines may go further, never
 * less far.
 */
function checkRecord(
  { directory, record, configuration }: RunContents,
  { steps, lastStep }: Lines,
): void {
  const path = join(directory, RECORD_FILE);
  const { step, chain, weights, state } = record;
  const line = steps.get(step)?.line;
  if (step > lastStep)
    throw differs(`${path} says that ${step} steps were done; metrics.jsonl has ${lastStep}`);
  const expected = line?.chain ?? firstLink(configuration);
  if (chain !== expected)
    throw differs(`${path} has another chain link than step ${step}: ${chain}`);
  if (line !== undefined && weights !== line.weights)
    throw differs(`${path} has another checksum of the weights than step ${step}: ${weights}`);
  if (state !== 'finished') return;
  if (step !== totalSteps(configuration)) {
    throw differs(
      `${path} says that the run is finished, after ${step} of ${totalSteps(configuration)} steps`,
    );
  }
  if (record.result === undefined)
    throw differs(`${path} says that the run is finished, and has no result`);
}

/**
 * Epochs end with an evaluation, and so does a finished run; only the last one may be missing
 * otherwise.
 */
function checkEvaluations(
  { directory, record, configuration }: RunContents,
  { lastStep, evaluations }: Lines,
): void {
  const expected = record.state === 'finished' ? [record.step] : [];
  const perEpoch = stepsPerEpoch(configuration);
  for (let end = perEpoch; end < lastStep; end += perEpoch) expected.push(end);
  const missing = expected.find((step) => !evaluations.has(step));
  if (missing !== undefined)
    throw differs(`${join(directory, METRICS_FILE)} lacks the evaluation after step ${missing}`);
}

/**
 * A run that has finished or was interrupted has the model of its last step. Any other may have one
 * of an earlier end, of which only its own metadata tell.
 */
function recordedModel(
  { directory, record, configuration, model, writer }: RunContents,
  lastStep: number,
): RecordedModel | undefined {
  const path = join(directory, MODEL_FILE);
  if ((record.state === 'finished' || record.state === 'interrupted') && record.step > 0) {
    if (model === undefined) throw differs(`${path} is missing`);
    return { step: record.step, configuration };
  }
  if (model === undefined) return undefined;
  const { metadata } = decoded(() => decodeTensors(model, path));
  const recorded = parseConfiguration(metadata['configuration'] ?? '');
  if (recorded === undefined || canonicalRecipe(recorded) !== canonicalRecipe(configuration))
    throw differs(`${path} is a model of another configuration`);
  const text = metadata['step'] ?? '';
  const step = Number(text);
  if (!/^[1-9]\d*$/.test(text)) throw differs(`${path} does not say of which step it is`);
  if (step <= lastStep) return { step, configuration: recorded };
  // The run went on while it was read.
  if (writer !== undefined) return undefined;
  throw differs(`${path} is of step ${step}; metrics.jsonl ends at step ${lastStep}`);
}
