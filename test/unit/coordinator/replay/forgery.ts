import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { Chain, firstLink } from '../../../../shared/files/chain.ts';
import {
  decodeCheckpoint,
  encodeCheckpoint,
  type Checkpoint,
} from '../../../../shared/files/checkpoint-file.ts';
import { configurationOfRecord, type Configuration } from '../../../../shared/configuration.ts';
import {
  MetricsFormatter,
  readMetrics,
  type MetricsLine,
} from '../../../../shared/files/metrics.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { verifyMadeUp } from '../../../fixtures/recorded-run.ts';
import { edit } from './record-edits.ts';

export function linesOf(directory: string): MetricsLine[] {
  return readMetrics(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')).lines;
}

/**
 * Rewrites metrics.jsonl with correct digests, and removes the position of the lines from the
 * checkpoints. With `links`, recomputes the chain as well. Writes the last step's chain link and
 * weights checksum into run.json.
 */
export function forge(
  directory: string,
  change: (line: MetricsLine) => MetricsLine[],
  links: boolean,
): void {
  const formatter = new MetricsFormatter();
  let last: { chain: string; weights: string } | undefined;
  const path = join(directory, 'run.json');
  const chain = new Chain(firstLink(configurationIn(path)));
  const text = linesOf(directory)
    .flatMap(change)
    .map((line) => {
      if (line.kind === 'evaluation') {
        const isForged = links && line.chain !== undefined;
        return formatter.evaluation(
          isForged ? { ...line, chain: chain.addEvaluation(line) } : line,
        );
      }
      const weights = BigInt(`0x${line.weights}`);
      const link = links ? chain.add({ ...line, weights }) : line.chain;
      last = { chain: link, weights: line.weights };
      return formatter.step({ ...line, weights, chain: link });
    });
  writeFileSync(join(directory, 'metrics.jsonl'), text.join(''));
  const checkpoints = join(directory, 'checkpoints');
  const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
  for (const name of names) changeCheckpoint(join(checkpoints, name), () => ({ lines: undefined }));
  edit(directory, (record) => ({ ...record, ...last }));
}

function configurationIn(path: string): Configuration {
  return configurationOfRecord(parseRunRecord(readFileSync(path, 'utf8'), path).configuration);
}

export function checkpointOf(directory: string, step: number): string {
  return join(directory, 'checkpoints', `step-${String(step).padStart(10, '0')}.safetensors`);
}

export function changeCheckpoint(
  path: string,
  change: (checkpoint: Checkpoint) => Partial<Checkpoint>,
): void {
  const configuration = configurationIn(join(dirname(path), '..', 'run.json'));
  const checkpoint = decodeCheckpoint(readFileSync(path), path, configuration);
  writeFileSync(path, encodeCheckpoint({ ...checkpoint, ...change(checkpoint) }));
}

export function oneMore(values: Float32Array): Float32Array {
  return values.map((value, i) => (i === 7 ? value + 1 : value));
}

export function expectDifference(directory: string, words: RegExp, from?: number): Promise<void> {
  return expect(verifyMadeUp(directory, from === undefined ? {} : { from })).rejects.toMatchObject({
    code: 'DIFFERS',
    message: expect.stringMatching(words),
  });
}
