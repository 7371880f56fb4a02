import { createHash } from 'node:crypto';
import { configurationOfRecord, differingSettings } from '../configuration.ts';
import { ClusterError } from '../errors.ts';
import type { ModelFile } from './model-file.ts';
import type { RunRecord } from './run-schema.ts';
import { shortDigest } from '../printable.ts';

/** A model that has been read from a file. */
interface ReadModel extends Pick<ModelFile, 'configuration' | 'step' | 'chain'> {
  /** The file's path or URI. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export function modelDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Throws a DATA error unless the recorded run wrote this model: a different model may have been
 * copied over it. If the run is neither finished nor interrupted, the model may be from an earlier
 * end of the run, so only the settings are compared.
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
  // Older versions did not record the digest; the last step and the chain up to it identify the
  // model almost as well.
  if (step !== record.step) throw foreign(name, `step ${step} instead of ${record.step}`);
  if (chain !== record.chain)
    throw foreign(name, `chain ${shortDigest(chain)} instead of ${shortDigest(record.chain)}`);
}

function foreign(name: string, what: string): ClusterError {
  return new ClusterError('DATA', `${name} is not the model that run.json describes: ${what}`, {
    fix: "restore the run's own file, or use the model from a folder without a run.json",
  });
}
