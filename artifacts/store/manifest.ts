import { createHash } from 'node:crypto';
import { extname } from 'node:path';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import {
  MAX_MANIFEST_BYTES,
  MAX_STORED_FILE_BYTES,
  MAX_STORED_FILES,
} from '../../shared/limits.ts';
import { runRecordSchema } from '../../shared/files/run-schema.ts';
import { isResultName } from './store-names.ts';
import type { Content, Store } from './store.ts';
import { issuesOf } from '../../shared/schema.ts';

/** Lists all files of a run in a store. Written last: a run without it is incomplete. */
export const MANIFEST = 'manifest.json';
const MANIFEST_FORMAT = 1;
const PUSH_AGAIN = 'push the run again from a complete copy';

const entrySchema = z.strictObject({
  name: z
    .string()
    // A coordinator that resumes the run would take lock.json for another coordinator's lock.
    .refine(isResultName, 'is not the name of a file that a push sends'),
  size: z.int().min(0).max(MAX_STORED_FILE_BYTES),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  type: z.string().max(128),
});

const manifestSchema = z.strictObject({
  format: z.literal(MANIFEST_FORMAT),
  run: runRecordSchema.shape.run,
  started: z.iso.datetime(),
  files: z
    .array(entrySchema)
    .max(MAX_STORED_FILES)
    // Some file systems ignore case.
    .refine(
      (files) => new Set(files.map(({ name }) => name.toLowerCase())).size === files.length,
      'lists one file twice',
    ),
});

/** One file of a run: name, size in bytes, SHA-256 as 64 hexadecimal digits, MIME type. */
export type ManifestEntry = z.infer<typeof entrySchema>;
export type Manifest = z.infer<typeof manifestSchema>;

/** The content of a manifest. */
export interface RunListing {
  readonly run: string;
  readonly started: string;
  readonly files: readonly ManifestEntry[];
}

export function manifestText({ run, started, files }: RunListing): string {
  const named = files
    .map(({ name, size, sha256, type }) => ({ name, size, sha256, type }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const manifest: Manifest = { format: MANIFEST_FORMAT, run, started, files: named };
  return `${JSON.stringify(manifest, undefined, 2)}\n`;
}

const types: Readonly<Record<string, string>> = {
  '.csv': 'text/csv; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
};

/** The Content-Type for a file of a run. */
export function contentTypeOf(name: string): string {
  return types[extname(name)] ?? 'application/octet-stream';
}

/** Text as the content of a file. */
export function textContent(name: string, text: string): Content {
  const bytes = Buffer.from(text);
  return {
    size: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    type: contentTypeOf(name),
    open: async () => Readable.from([bytes], { objectMode: false }),
  };
}

/** The text of the manifest; undefined if there is none. Rejects with STORE if it is too large. */
export async function readManifestText(store: Store): Promise<string | undefined> {
  return await readText(store, MANIFEST, MAX_MANIFEST_BYTES);
}

/**
 * A stored file as text, without checking its digest; undefined if it does not exist. Rejects with
 * STORE if it has more than `limit` bytes.
 */
export async function readText(
  store: Store,
  name: string,
  limit: number,
): Promise<string | undefined> {
  return await store.get(name, async ({ bytes }) => {
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of bytes) {
      length += part.length;
      if (length > limit)
        throw new ClusterError(
          'STORE',
          `${store.uri(name)} is too large: it has more than ${limit} bytes`,
          {
            fix: PUSH_AGAIN,
          },
        );
      parts.push(part);
    }
    return Buffer.concat(parts).toString();
  });
}

/** Throws STORE if the manifest is invalid or lists files that no push sends. */
export function parseManifest(text: string, store: Store): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw notAManifest(store, messageOf(error));
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw notAManifest(store, issuesOf(parsed.error));
}

/** Like parseManifest, but returns undefined for an invalid manifest. */
export function manifestIn(text: string, store: Store): Manifest | undefined {
  try {
    return parseManifest(text, store);
  } catch (error) {
    if (error instanceof ClusterError) return undefined;
    throw error;
  }
}

function notAManifest(store: Store, why: string): ClusterError {
  return new ClusterError('STORE', `${store.uri(MANIFEST)} is not a run manifest: ${why}`, {
    fix: PUSH_AGAIN,
  });
}
