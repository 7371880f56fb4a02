import { join } from 'node:path';
import { z } from 'zod';
import { Chain, firstLink } from '../../shared/files/chain.ts';
import { canonicalConfiguration, type Configuration } from '../../shared/configuration.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { assert } from '../../shared/errors.ts';
import {
  notEvaluated,
  setAfterEpochs,
  type EvaluatedSet,
} from '../../shared/evaluation/evaluated-set.ts';
import {
  hasStoppedEarly,
  judge,
  judgingSet,
  type Judgement,
} from '../../shared/evaluation/judgement.ts';
import { checksumText, readMetrics } from '../../shared/files/metrics.ts';
import { encodeModel } from '../../shared/files/model-file.ts';
import { parseRunRecord, type RunRecord } from '../../shared/files/run-schema.ts';
import { planStep, stepsPerEpoch } from '../../shared/arithmetic/schedule.ts';
import type { SimulatedDisk } from './simulated-disk.ts';
import { simulatedLabel, undisturbed, type ExpectedStep, type Trained } from './model.ts';
import { RUN } from './simulated-coordinator.ts';

const eventSchema = z.looseObject({
  event: z.string(),
  elapsed: z.number().min(0),
  term: z.int().optional(),
});

export interface ExpectedRun {
  readonly configuration: Configuration;
  readonly steps: readonly ExpectedStep[];
  readonly model: Trained;
  /** The chain links of each step. */
  readonly chain: readonly ExpectedLinks[];
}

interface ExpectedLinks {
  /** The step's link, and that of its evaluation if it counts, otherwise the same. */
  readonly link: string;
  readonly end: string;
}

function chainOf(configuration: Configuration, steps: readonly ExpectedStep[]): ExpectedLinks[] {
  const chain = new Chain(firstLink(configuration));
  return steps.map(({ loss, correct, checksum, judged }, i) => {
    const { samples } = planStep(configuration, i + 1);
    const link = chain.add({ step: i + 1, samples, loss, correct, weights: checksum });
    return {
      link,
      end: judged === undefined ? link : chain.addEvaluation({ step: i + 1, ...judged }),
    };
  });
}

export function simulatedDataset({
  dataset,
  trainSamples,
  validationSamples = 0,
  testSamples,
}: Configuration): Dataset {
  const samplesOf = (samples: number) => ({
    samples,
    images: new Uint8Array(4 * samples),
    labels: Uint8Array.from({ length: samples }, (_, i) => simulatedLabel(i)),
  });
  return {
    digest: dataset,
    bytes: new Uint8Array(0),
    name: undefined,
    rows: 2,
    columns: 2,
    classNames: ['0', '1'],
    train: samplesOf(trainSamples + validationSamples),
    test: samplesOf(testSamples),
  };
}

/** The run.json that would survive a power cut. */
export function durableRecord(disk: SimulatedDisk): RunRecord | undefined {
  const bytes = disk.durable(join(RUN, 'run.json'));
  return bytes === undefined ? undefined : parseRunRecord(textOf(bytes), 'run.json');
}

/**
 * Checks that metrics.jsonl contains each step once, in order, with the values of the undisturbed
 * run. Returns the number of steps.
 */
export function recordedSteps(disk: SimulatedDisk, expected: ExpectedRun): number {
  const { lines, bad } = readMetrics(textOf(disk.read(join(RUN, 'metrics.jsonl'))));
  assert(
    bad === undefined,
    `every line of metrics.jsonl is valid, but line ${bad?.line} is not: ${bad?.reason}`,
  );
  let steps = 0;
  const evaluated = { ...notEvaluated };
  for (const line of lines) {
    if (line.kind === 'evaluation') {
      assert(
        line.step === steps && evaluated[line.set] < steps,
        `an evaluation follows its step once: step ${line.step} is evaluated after step ${steps}`,
      );
      evaluated[line.set] = line.step;
      const { link, end } = expected.chain[steps - 1] ?? {};
      const isChained = line.set === judgingSet(expected.configuration);
      assert(
        line.chain === (isChained ? end : undefined) && (!isChained || link !== end),
        `the link of the evaluation after step ${steps} equals the undisturbed run's`,
      );
      continue;
    }
    const step = expected.steps[steps];
    steps += 1;
    assert(line.step === steps, `metrics.jsonl continues with step ${steps}, not ${line.step}`);
    assert(
      Object.is(line.loss, step?.loss),
      `the loss of step ${steps} equals the undisturbed run's`,
    );
    assert(
      line.correct === step?.correct,
      `the correct rows of step ${steps} equal the undisturbed run's`,
    );
    const isSame = line.weights === checksumText(step.checksum);
    assert(
      isSame && line.chain === expected.chain[steps - 1]?.link,
      `the chain link of step ${steps} equals the undisturbed run's`,
    );
  }
  return steps;
}

/**
 * Checks that events.jsonl has complete lines, rising terms and rising times, even if the wall
 * clock jumps.
 */
function checkEvents(disk: SimulatedDisk): void {
  const lines = textOf(disk.read(join(RUN, 'events.jsonl'))).split('\n');
  assert(lines.pop() === '', 'events.jsonl ends with a complete line');
  let last = 0;
  let passed = 0;
  for (const line of lines) {
    const { event, term, elapsed } = eventSchema.parse(JSON.parse(line));
    assert(
      event === 'start' || elapsed >= passed,
      `times do not decrease in events.jsonl: ${passed} s, then ${elapsed} s`,
    );
    passed = elapsed;
    if (event !== 'start') continue;
    assert(term !== undefined && term > last, `terms rise in events.jsonl: ${last}, then ${term}`);
    last = term;
  }
}

/** Whether the patience of an undisturbed run ends. */
function isEarly({ configuration, steps }: ExpectedRun): boolean {
  const judgement = steps.reduce<Judgement | undefined>(
    (before, { judged }, i) =>
      judged === undefined
        ? before
        : judge(before, { step: i + 1, loss: judged.loss, link: '' }, configuration),
    undefined,
  );
  return hasStoppedEarly(judgement, configuration);
}

/** Checks the files of a finished run that survive a power cut. Returns the run's record. */
export function checkFinishedRun(disk: SimulatedDisk, expected: ExpectedRun): RunRecord {
  disk.powerCut();
  const { configuration } = expected;
  const record = parseRunRecord(textOf(disk.read(join(RUN, 'run.json'))), 'run.json');
  const step = expected.steps.length;
  const chain = expected.chain[step - 1]?.end ?? '';
  assert(
    record.state === 'finished' && record.step === step,
    `the run is finished, not ${record.state}`,
  );
  const { started, ended = '' } = record;
  assert(
    Date.parse(ended) >= Date.parse(started),
    `the run ends after it began: ${started}, ${ended}`,
  );
  assert(record.chain === chain, "the last chain link equals the undisturbed run's");
  assert(recordedSteps(disk, expected) === step, 'metrics.jsonl has all steps');
  const text = textOf(disk.read(join(RUN, 'metrics.jsonl')));
  assert(text.endsWith('\n'), 'metrics.jsonl ends with a complete line');
  const usual = setAfterEpochs(configuration);
  const evaluations = (set: EvaluatedSet) => text.split(`"set":"${set}"`).length - 1;
  const epochs = step / stepsPerEpoch(configuration);
  assert(evaluations(usual) === epochs, 'each epoch is evaluated');
  assert(
    (record.stopped_early === undefined) === !isEarly(expected),
    'run.json says that the run stopped early if it did',
  );
  assert(usual === 'test' || evaluations('test') === 1, 'the test set is evaluated once');
  checkEvents(disk);
  const { step: modelStep, weights } = expected.model;
  const modelChain = expected.chain[modelStep - 1]?.end ?? '';
  const model = encodeModel({ configuration, step: modelStep, chain: modelChain, weights });
  assert(
    Buffer.from(model).equals(disk.read(join(RUN, 'model.safetensors'))),
    "the model's bytes equal the undisturbed run's",
  );
  return record;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

const known = new Map<string, ExpectedRun>();

/** The expected outcome of a run with this configuration; computed once per configuration. */
export function expectedOf(configuration: Configuration): ExpectedRun {
  const key = canonicalConfiguration(configuration);
  const run = known.get(key);
  if (run !== undefined) return run;
  const { steps, model } = undisturbed(configuration);
  const expected = { configuration, steps, model, chain: chainOf(configuration, steps) };
  known.set(key, expected);
  return expected;
}
