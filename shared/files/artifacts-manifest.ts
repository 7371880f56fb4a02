import { z } from 'zod';
import { MAX_STORE_NAME_CHARACTERS } from '../limits.ts';

/** A plain file name, which cannot lead to another folder and is not hidden. */
export const FILE_NAME = new RegExp(`^(?!\\.)[A-Za-z0-9._-]{1,${MAX_STORE_NAME_CHARACTERS}}$`);

/** artifacts/manifest.json: every other artifact with its size in bytes, SHA-256 and MIME type. */
export const artifactsManifestSchema = z.object({
  format: z.literal(1),
  files: z.array(
    z.object({
      name: z.string().regex(FILE_NAME),
      size: z.int(),
      sha256: z.string(),
      type: z.string(),
    }),
  ),
});

export type ArtifactsManifest = z.infer<typeof artifactsManifestSchema>;
