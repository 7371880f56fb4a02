import { createHash } from 'node:crypto';
import { configurationOfRecord, differingSettings } from '../configuration.ts';
import { ClusterError } from '../errors.ts';
import type { ModelFile } from './model-file.ts';
import type { RunRecord } from './run-schema.ts';
import { shortDigest } from '../printable.ts';

/** A model.safetensors as it was read. */
interface ReadModel extends Pick<ModelFile, 'configuration' | 'step' | 'chain'> {
  /** Its path or URI. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export function modelDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Throws DATA where a model is not the one that its run has written, such as one that was copied
 * over it. A run that is not over may have a model of an earlier end, so its settings alone are
 * compared.
 */
export function checkOwnModel(
  { name, bytes, configuration, step, chain }: ReadModel,
  record: RunRecord,
): void {
  const differing = differingSettings(configuration, configurationOfRecord(record.configuration));
  if (differing.length > 0) throw foreign(name, differing.join('; '));
  if (record.state !== 'finished' && record.state !== 'interrupted') return;
  const digest = modelDigest(bytes);
  if (record.model !== undefined) {
    if (record.model.sha256 === digest) return;
    throw foreign(
      name,
      `SHA-256 ${shortDigest(digest)} instead of ${shortDigest(record.model.sha256)}`,
    );
  }
  // A run of an older mnist-dist: its last step and the chain up to it say nearly the same.
  if (step !== record.step) throw foreign(name, `step ${step} instead of ${record.step}`);
  if (chain !== record.chain)
    throw foreign(name, `chain ${shortDigest(chain)} instead of ${shortDigest(record.chain)}`);
}

function foreign(name: string, what: string): ClusterError {
  return new ClusterError(
    'DATA',
    `${name} is not the model of its run, as run.json describes it: ${what}`,
    {
      fix: "bring the run's own file back; a model of another run is used from a folder without a run.json",
    },
  );
}
