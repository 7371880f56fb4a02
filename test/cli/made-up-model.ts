import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Configuration } from '../../shared/configuration.ts';
import { configurationRecord } from '../../shared/configuration.ts';
import { encodeModel } from '../../shared/files/model-file.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import type { RunRecord } from '../../shared/files/run-schema.ts';
import { sampleConfiguration } from '../shared/sample-configuration.ts';
import { sampleRun } from '../shared/sample-run.ts';

const SIDE = 7;

/** Pictures of 7 x 7 pixels of two classes: is a stroke lying or standing? */
export const configuration: Configuration = {
  ...sampleConfiguration,
  model: { inputs: SIDE * SIDE, hidden: [2], classes: 2 },
};

/** The first layer sums how far ink is from the middle, across and down; the second hands both on. */
const weights = Float32Array.of(
  ...Array.from({ length: SIDE * SIDE }, (_, at) => [
    ((at % SIDE) - SIDE / 2) ** 2,
    (Math.floor(at / SIDE) - SIDE / 2) ** 2,
  ]).flat(),
  ...[0, 0],
  ...[1, 0, 0, 1],
  ...[0, 0],
);

export function modelBytes(chosen = configuration): Uint8Array {
  const fitting = chosen === configuration ? weights : new Float32Array(parameterCount(chosen.model));
  return encodeModel({ configuration: chosen, step: 7, chain: 'cd'.repeat(32), weights: fitting });
}

/** Writes what `predict` asks of a finished run into a folder that is there. */
export function writeRun(directory: string, change: Partial<RunRecord> = {}): void {
  const record: RunRecord = {
    ...{ ...sampleRun, configuration: configurationRecord(configuration), state: 'finished', step: 7 },
    dataset: { ...sampleRun.dataset, rows: SIDE, columns: SIDE, class_names: ['lying', 'standing'] },
    ...change,
  };
  writeFileSync(join(directory, 'run.json'), JSON.stringify(record));
  writeFileSync(join(directory, 'model.safetensors'), modelBytes());
}
