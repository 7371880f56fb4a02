import { hash } from 'node:crypto';
import { type Artifact, jsonArtifact } from './artifact.ts';

/**
 * manifest.json: what there is, with what it must be. It is written last, so that where it is, all
 * is.
 */
export function manifest(artifacts: readonly Artifact[]): Artifact {
  return jsonArtifact('manifest.json', {
    format: 1,
    files: artifacts.map(({ name, type, bytes }) => ({
      name,
      size: bytes.length,
      sha256: hash('sha256', bytes, 'hex'),
      type,
    })),
  });
}
