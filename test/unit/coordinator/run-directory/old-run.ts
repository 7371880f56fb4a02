import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { MetricsFormatter, readMetrics } from '../../../../shared/files/metrics.ts';
import { modelDigest } from '../../../../shared/files/own-model.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { decodeTensors, encodeTensors } from '../../../../shared/files/safetensors.ts';

const settings = z.record(z.string(), z.unknown());

/**
 * Rewrites the files of a finished run with Adam to those of mnist-dist 0.2, which had arithmetic
 * 1: Adam's parameters stand beside the other settings, and lines have no learning rate.
 */
export function makeOld(directory: string): void {
  const [recordPath, linesPath, modelPath] = ['run.json', 'metrics.jsonl', 'model.safetensors'].map(
    (name) => join(directory, name),
  );
  if (recordPath === undefined || linesPath === undefined || modelPath === undefined)
    throw new Error('there are three files');
  const formatter = new MetricsFormatter();
  const { lines } = readMetrics(readFileSync(linesPath, 'utf8'));
  const texts = lines.map((line) =>
    line.kind === 'evaluation'
      ? formatter.evaluation(line)
      : formatter.step({
          ...line,
          learning_rate: undefined,
          weights: BigInt(`0x${line.weights}`),
        }),
  );
  writeFileSync(linesPath, texts.join(''));
  const { metadata, tensors } = decodeTensors(readFileSync(modelPath), modelPath);
  const oldest = oldConfiguration(JSON.parse(metadata['configuration'] ?? ''));
  const sorted = Object.fromEntries(
    Object.entries(oldest).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  const model = encodeTensors({
    metadata: { ...metadata, configuration: JSON.stringify(sorted) },
    tensors,
  });
  writeFileSync(modelPath, model);
  const record = parseRunRecord(readFileSync(recordPath, 'utf8'), recordPath);
  writeFileSync(
    recordPath,
    JSON.stringify({
      ...record,
      arithmetic: 1,
      version: '0.2.0',
      configuration: oldConfiguration(record.configuration),
      model: { sha256: modelDigest(model) },
    }),
  );
}

function oldConfiguration(record: unknown): object {
  const { optimizer, schedule: _, warmup: __, weight_decay: ___, ...rest } = settings.parse(record);
  const { kind: ____, ...adam } = settings.parse(optimizer);
  return { ...rest, ...adam };
}
