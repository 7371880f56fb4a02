import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Chain, firstLink } from '../../../../shared/files/chain.ts';
import { encodeCheckpoint, type Checkpoint } from '../../../../shared/files/checkpoint-file.ts';
import { ARITHMETIC } from '../../../../shared/arithmetic/version.ts';
import { configurationRecord, type Configuration } from '../../../../shared/configuration.ts';
import { MAX_EPOCHS } from '../../../../shared/limits.ts';
import { checksumText, MetricsFormatter } from '../../../../shared/files/metrics.ts';
import { initialWeights } from '../../../../shared/arithmetic/random.ts';
import type { RunRecord } from '../../../../shared/files/run-schema.ts';
import { planStep } from '../../../../shared/arithmetic/schedule.ts';
import { kernelDigest } from '../../../../shared/kernels/kernels.ts';
import { engineFixture } from '../../../fixtures/engine-identity.ts';
import { configuration, dataset, FINGERPRINT } from '../../../fixtures/recorded-run.ts';

export interface LongRun {
  readonly directory: string;
  /** The number of steps that metrics.jsonl records. */
  readonly steps: number;
  /** The number of steps that were written after the newest checkpoint. */
  readonly beyond?: number;
  /** The run's configuration; the default one has twice as many steps. */
  readonly configuration?: Configuration;
}

/**
 * Writes the directory of a run whose coordinator was killed during training. Its lines agree with
 * each other and with its only checkpoint, although no worker computed them. Returns the run's
 * configuration.
 */
export function writeLongRun({ directory, steps, beyond = 10, ...own }: LongRun): Configuration {
  const chosen = own.configuration ?? { ...configuration, steps: 2 * steps, epochs: MAX_EPOCHS };
  mkdirSync(join(directory, 'checkpoints'), { recursive: true });
  const file = openSync(join(directory, 'metrics.jsonl'), 'w');
  const events = openSync(join(directory, 'events.jsonl'), 'w');
  const formatter = new MetricsFormatter();
  const chain = new Chain(firstLink(chosen));
  const weights = initialWeights(chosen.seed, chosen.model);
  const time = '2026-01-02T03:04:05.678Z';
  const event = (fields: object): void =>
    void writeSync(events, `${JSON.stringify({ time, ...fields })}\n`);
  event({ elapsed: 0, event: 'start', term: 1, step: 0 });
  event({ elapsed: 0, event: 'first_shard', worker: 'w0' });
  let text = '';
  let written = 0;
  let evaluated = 0;
  for (let step = 1; step <= steps; step++) {
    const { epoch, samples, endsEpoch } = planStep(chosen, step);
    const line = {
      step,
      epoch,
      samples,
      loss: Math.fround(2 / step),
      correct: step % (samples + 1),
    };
    const checksum = (BigInt(step) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn;
    const link = chain.add({ ...line, weights: checksum });
    text += formatter.step({
      ...line,
      milliseconds: 4 + (step % 7) / 8,
      learning_rate: chosen.learningRate,
      weights: checksum,
      chain: link,
    });
    if (endsEpoch) {
      const correct = 10;
      const samples = chosen.testSamples;
      text += formatter.evaluation({ set: 'test', step, epoch, samples, loss: 1, correct });
      evaluated = step;
    }
    if (step === steps - beyond) {
      const checkpoint: Checkpoint = {
        lines: { bytes: written + text.length, digest: formatter.digest },
        configuration: chosen,
        step,
        evaluated: { validation: 0, test: evaluated },
        chain: link,
        fingerprint: FINGERPRINT,
        weights,
        state: [weights, weights],
      };
      const name = `step-${String(step).padStart(10, '0')}.safetensors`;
      writeFileSync(join(directory, 'checkpoints', name), encodeCheckpoint(checkpoint));
      event({ elapsed: step / 200, event: 'checkpoint', step });
    }
    if (text.length > 1024 ** 2 || step === steps) {
      written += writeSync(file, text);
      text = '';
    }
  }
  closeSync(file);
  closeSync(events);
  const record: RunRecord = {
    format: 1,
    arithmetic: ARITHMETIC,
    version: '0.1.0',
    run: 'long',
    state: 'running',
    term: 1,
    started: time,
    configuration: configurationRecord(chosen),
    launch: {},
    engine: {
      description: engineFixture,
      fingerprint: FINGERPRINT,
      kernel_digest: kernelDigest(),
      reproducible: true,
    },
    dataset: {
      sha256: dataset.digest,
      rows: dataset.rows,
      columns: dataset.columns,
      train_samples: dataset.train.samples,
      test_samples: dataset.test.samples,
      class_names: [...dataset.classNames],
    },
    step: 0,
    chain: firstLink(chosen),
    weights: checksumText(0n),
    workers: [],
  };
  writeFileSync(join(directory, 'run.json'), JSON.stringify(record));
  return chosen;
}
