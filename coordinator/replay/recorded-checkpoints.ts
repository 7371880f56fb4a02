import { isDeepStrictEqual } from 'node:util';
import { readEntryNow, tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { decodeCheckpoint, type Checkpoint } from '../../shared/files/checkpoint-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { evaluatedSets, type EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { decoded, differs, type RecordedResults } from './recorded-results.ts';
import type { CheckpointFile, RunContents } from '../run-directory/run-contents.ts';

/** A run's checkpoints, checked against its lines, and its engine's fingerprint. */
export interface RecordedCheckpoints {
  readonly files: readonly CheckpointFile[];
  /** The fingerprint of the run's engine; undefined if no file records it. */
  readonly fingerprint: string | undefined;
}

/**
 * Decodes every checkpoint and compares it with the line of its step. Throws DIFFERS at the first
 * checkpoint that is damaged or contradicts the run.
 */
export function recordedCheckpoints(
  contents: RunContents,
  recorded: RecordedResults,
): RecordedCheckpoints {
  let fingerprint = contents.record.engine?.fingerprint;
  const files = contents.checkpoints.filter((file) => {
    const bytes = readCheckpoint(file, contents);
    if (bytes === undefined) return false;
    const checkpoint = decoded(() => decodeCheckpoint(bytes, file.path, contents.configuration));
    fingerprint ??= checkpoint.fingerprint;
    checkCheckpoint(file, checkpoint, fingerprint, recorded);
    for (const set of evaluatedSets) {
      const evaluated = checkpoint.evaluated[set];
      if (evaluatedBefore(file.step, set, contents, recorded).has(evaluated)) continue;
      const what = `the last evaluation of the ${set} set was after step ${evaluated}`;
      throw differs(`${file.path} says that ${what}, which is wrong`);
    }
    return true;
  });
  return { files, fingerprint };
}

/** The newest checkpoint at or before `step`; undefined if there is none. */
export function newestCheckpoint(
  files: readonly CheckpointFile[],
  step: number,
  contents: RunContents,
): Checkpoint | undefined {
  for (const file of files.filter((each) => each.step <= step).toReversed()) {
    const bytes = readCheckpoint(file, contents);
    if (bytes !== undefined)
      return decoded(() => decodeCheckpoint(bytes, file.path, contents.configuration));
  }
  return undefined;
}

/** The file's bytes; undefined if a running coordinator has removed the file in the meantime. */
export function readCheckpoint(
  { path }: CheckpointFile,
  { writer }: RunContents,
): Uint8Array | undefined {
  try {
    return readEntryNow(path, tensorFileLimit);
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && writer !== undefined) return undefined;
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function checkCheckpoint(
  { step, path }: CheckpointFile,
  checkpoint: Checkpoint,
  fingerprint: string,
  { steps }: RecordedResults,
): void {
  const recordedStep = steps.get(step);
  const line = recordedStep?.line;
  if (checkpoint.step !== step) throw differs(`${path} is a checkpoint of step ${checkpoint.step}`);
  if (recordedStep === undefined || line === undefined)
    throw differs(`${path} is from a step that metrics.jsonl does not have`);
  const { before, judged } = recordedStep;
  const isJudged = checkpoint.judgement?.step === step;
  if (!isDeepStrictEqual(checkpoint.judgement, isJudged ? judged?.judgement : before))
    throw differs(`${path} has a different best evaluation than metrics.jsonl`);
  if (checkpoint.chain !== (isJudged ? judged?.link : line.chain))
    throw differs(
      `${path} has a different chain link than step ${step} in metrics.jsonl: ${checkpoint.chain}`,
    );
  const ends = [recordedStep.end, ...recordedStep.evaluationEnds];
  const { lines } = checkpoint;
  if (
    lines !== undefined &&
    !ends.some((end) => end.bytes === lines.bytes && end.digest === lines.digest)
  )
    throw differs(
      `${path} says that its lines in metrics.jsonl end at byte ${lines.bytes}, but they do not`,
    );
  if (checkpoint.fingerprint !== fingerprint)
    throw differs(
      `${path} was computed by a different engine than the run: fingerprint ` +
        checkpoint.fingerprint,
    );
}

/**
 * The steps that a checkpoint of this step may record as the last after which the set was
 * evaluated. A checkpoint is written before or after the evaluation of its own step, and a resumed
 * run may not know of all evaluations.
 */
function evaluatedBefore(
  step: number,
  set: EvaluatedSet,
  { record }: RunContents,
  { evaluations }: RecordedResults,
): Set<number> {
  const all = [0, ...evaluations[set].keys()].toSorted((a, b) => a - b);
  const before = all.filter((each) => each < step);
  const at = evaluations[set].has(step) ? [step] : [];
  return new Set([...(record.term > 1 ? before : before.slice(-1)), ...at]);
}
