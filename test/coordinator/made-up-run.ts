import { openRecorder } from '../../coordinator/open-run.ts';
import { Predictions } from '../../coordinator/predictions.ts';
import { readEvidence } from '../../coordinator/run-directory/run-contents.ts';
import { checkDataset, planReplay } from '../../coordinator/replay/replay.ts';
import type { RunRecorder, Workplace } from '../../coordinator/serve.ts';
import type { Outcome } from '../../coordinator/decisions/effects.ts';
import type { Draw } from '../../coordinator/recorder.ts';
import { silentViewer, type RunViewer } from '../../coordinator/viewer.ts';
import { initialState, type RunState } from '../../coordinator/decisions/state.ts';
import { Tensors } from '../../coordinator/tensors.ts';
import { Verifier, type ReplayViewer, type Verified } from '../../coordinator/replay/verifier.ts';
import { createKernels } from '../../shared/kernels/kernels.ts';
import { systemClock, type Clock } from '../../shared/clock.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { parseDataset } from '../../shared/dataset/dataset.ts';
import { tensorOf } from '../../shared/wire/frame.ts';
import { EVALUATION_CHUNK_ROWS } from '../../shared/limits.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import { planStep, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { ROOT } from '../../shared/arithmetic/tree.ts';
import { concatenate, imagesFile, labelsFile } from '../shared/idx-files.ts';
import { sampleEngine } from '../shared/sample-engine.ts';

const TEST_SAMPLES = 20;

export const dataset = parseDataset(
  concatenate([
    imagesFile(40, 2, 2),
    labelsFile(Array.from({ length: 40 }, (_, i) => i % 10)),
    imagesFile(TEST_SAMPLES, 2, 2),
    labelsFile(Array.from({ length: TEST_SAMPLES }, (_, i) => i % 10)),
  ]),
);

/** Five steps an epoch, twelve in all: evaluated after 5, 10 and 12. */
export const configuration: Configuration = {
  ...{ dataset: dataset.digest, model: { inputs: 4, hidden: [3], classes: 10 }, dropout: 0 },
  ...{ batchSize: 8, virtualShards: 1, learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
  ...{ seed: 1, epochs: 5, steps: 12, trainSamples: 40, testSamples: TEST_SAMPLES },
};

export const FINGERPRINT = 'fe'.repeat(32);

export interface MadeUp {
  /** The folder of runs. */
  readonly runs: string;
  /** The directory of a run that goes on. */
  readonly resume?: string | undefined;
  readonly runId?: string;
  readonly configuration?: Configuration;
  /** The step after which it is interrupted. */
  readonly until?: number;
  /** The coordinator is killed then, right after a checkpoint. */
  readonly isKilled?: boolean;
  readonly mixed?: boolean;
  readonly rule?: Rule;
  readonly draw?: Draw;
  readonly viewer?: RunViewer;
  /** Where time passes. */
  readonly clock?: Pick<Clock, 'now' | 'date'>;
}

/**
 * Writes a run as a coordinator does, with what no worker has computed: gradients, losses and predictions follow from the
 * weights and the step by simple rules. Returns its directory.
 */
export async function makeUp({ runs, resume, until, ...own }: MadeUp): Promise<string> {
  const chosen = own.configuration ?? configuration;
  const workplace = workplaceFor(chosen, own.clock);
  const recorder = await openRecorder(
    {
      ...{ configuration: chosen, dataset, version: '0.0.0', launch: {}, runsDir: runs, runId: own.runId },
      ...{ resume, takeOver: false, keep: 100, draw: own.draw },
    },
    workplace,
    own.viewer ?? silentViewer,
  );
  const fresh = stateOf(chosen, recorder);
  const known = { fingerprint: FINGERPRINT, engine: sampleEngine, mixed: own.mixed ?? fresh.mixed };
  await recorder.opened(fresh);
  const last = until ?? totalSteps(chosen);
  const isDue = (step: number) => step === totalSteps(chosen) || planStep(chosen, step).endsEpoch;
  const state = play(recorder, workplace, { ...fresh, ...known }, last, isDue, own.rule ?? honest);
  if (own.isKilled === true) {
    recorder.checkpoint(state);
    await recorder.abandon();
    return recorder.directory;
  }
  const outcome: Outcome =
    until === undefined
      ? { state: 'finished', code: undefined, message: '' }
      : { state: 'interrupted', code: 'INTERRUPTED', message: '' };
  await recorder.finish(state, outcome);
  return recorder.directory;
}

/** A verifier of what a directory holds, as verify opens it. */
export async function openVerifier(directory: string, from?: number) {
  const replay = planReplay(await readEvidence(directory), from);
  checkDataset(replay, dataset);
  const length = replay.claims.lastStep;
  const chosen = { ...replay.evidence.configuration, steps: length };
  const workplace = workplaceFor(chosen);
  if (replay.start.checkpoint !== undefined) workplace.tensors.restore(replay.start.checkpoint);
  const logged: string[] = [];
  const viewer: ReplayViewer = { step() {}, log: (level, message) => logged.push(`${level}: ${message}`) };
  const verifier = new Verifier(replay, dataset, workplace, viewer);
  return { verifier, workplace, replay, logged, length, state: stateOf(chosen, verifier) };
}

/** Replays a run in the same way as it was made. Rejects as verify does. */
export async function verifyMadeUp(
  directory: string,
  { from, rule = honest }: { readonly from?: number; readonly rule?: Rule } = {},
): Promise<Verified> {
  const { verifier, workplace, replay, length, state } = await openVerifier(directory, from);
  await verifier.opened();
  const isDue = (step: number) => replay.claims.evaluations.has(step);
  const end = play(verifier, workplace, state, length, isDue, rule);
  return verifier.finish(end, { state: 'finished', code: undefined, message: '' });
}

export interface Rule {
  /** A value of the gradient, from the step, its place and the weight there. */
  gradient(step: number, i: number, weight: number): number;
  loss(step: number): number;
}

export const honest: Rule = {
  gradient: (step, i, weight) => ((step * 31 + i * 17) % 101) / 100 - 0.5 + weight / 10,
  loss: (step) => 2 / step,
};

function play(
  recorder: RunRecorder,
  { tensors, predictions }: Workplace,
  begin: RunState,
  last: number,
  isDue: (step: number) => boolean,
  rule: Rule,
): RunState {
  let state = begin;
  const evaluate = () => {
    if (state.step === 0 || state.evaluated >= state.step || !isDue(state.step)) return;
    predict(predictions, tensors.weights());
    recorder.evaluation(state.step);
    state = { ...state, evaluated: state.step };
  };
  evaluate();
  while (state.step < last) {
    const step = state.step + 1;
    const loss = update(tensors, step, rule);
    state = { ...state, step };
    recorder.step({
      ...{ step, loss, correct: step % 8, checksum: tensors.checksum, milliseconds: 1, workers: 1 },
      ...{ updateMilliseconds: 1, gradientNorm: () => 1 },
    });
    evaluate();
  }
  return state;
}

function update(tensors: Tensors, step: number, rule: Rule): number {
  const weights = tensors.weights();
  const floats = Float32Array.from({ length: weights.length + 1 }, (_, i) =>
    i < weights.length ? rule.gradient(step, i, weights[i] ?? 0) : rule.loss(step),
  );
  tensors.receive(sealed(floats), false);
  tensors.accept(ROOT);
  const loss = tensors.update(ROOT, step);
  if (loss === undefined) throw new Error('nobody holds weights back');
  return loss;
}

/** Every sample is taken for the class that the first weights point to; the loss follows from them too. */
function predict(predictions: Predictions, weights: Float32Array): void {
  const chunk = new Float32Array(EVALUATION_CHUNK_ROWS * predictions.width);
  for (let row = 0; row < EVALUATION_CHUNK_ROWS; row++) {
    const weight = Math.abs(weights[row % weights.length] ?? 0);
    chunk.set([(row + Math.floor(1000 * weight)) % 10, weight], row * predictions.width);
  }
  predictions.receive(sealed(chunk));
  predictions.accept(0);
}

function sealed(floats: Float32Array) {
  const kernels = createKernels(4 * floats.length + 1024);
  const at = kernels.allocate(4 * floats.length);
  kernels.floats(at, floats.length).set(floats);
  const { checksum } = kernels.check(at, floats.length);
  const tensor = tensorOf({ header: {}, body: kernels.bytes(at, 4 * floats.length), checksum });
  if (tensor === undefined) throw new Error('it has a body');
  return tensor;
}

function workplaceFor(
  chosen: Configuration,
  clock: MadeUp['clock'] = { ...systemClock, now: () => 0 },
): Workplace {
  return {
    tensors: new Tensors(chosen, initialWeights(chosen.seed, chosen.model)),
    predictions: new Predictions(chosen.testSamples, chosen.model.classes),
    clock: { ...systemClock, ...clock },
    fail: (error) => {
      throw error;
    },
  };
}

function stateOf(chosen: Configuration, { run, term, resumed }: RunRecorder): RunState {
  return initialState(
    {
      ...{ run, term, configuration: chosen, totalSteps: totalSteps(chosen) },
      ...{ startWorkers: 1, minWorkers: 1, maxWorkers: 1, rendezvousMilliseconds: 1 },
      ...{ allowMixedEngines: false, checkpointEvery: { steps: 1 }, audit: undefined },
    },
    0,
    resumed,
  );
}
