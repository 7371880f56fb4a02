import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readEntryNow } from '../../shared/disk/regular-file.ts';
import { addonSources, ownLink, tfjsPackage } from './places.ts';

/**
 * Written next to the binding once TensorFlow has been loaded and has multiplied two matrices.
 * Later starts need only this file.
 */
export const MANIFEST_FILE = 'manifest.json';
/** Increases when the build changes, so that older bindings are rebuilt. */
export const BINDING_FORMAT = 3;

const manifestSchema = z.object({
  format: z.literal(BINDING_FORMAT),
  /** The TensorFlow version that the library reports. */
  version: z.string(),
  /** The name of the set of wheels, or the path of the wheel or folder. */
  source: z.string(),
  device: z.enum(['cpu', 'cuda']),
  /** The folder that contains libtensorflow_cc.so.2. */
  library: z.string(),
  /** Additional environment variables for a process that loads the library. */
  environment: z.record(z.string(), z.string()),
  files: z.array(z.object({ path: z.string(), bytes: z.int() })),
  /** Digest of the sources that were compiled. */
  sources: z.string(),
  compiler: z.string(),
  node: z.string(),
});

export type Manifest = z.infer<typeof manifestSchema>;

export interface NativeEngine {
  /**
   * The link to the folder that contains the binding: in this checkout, or this user's own link in
   * the cache.
   */
  readonly moduleDirectory: string;
  readonly binding: string;
  readonly version: string;
  readonly device: 'cpu' | 'cuda';
  readonly source: string;
  readonly library: string;
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * The engine that is set up for this checkout, if any. Finding it takes a few milliseconds: it
 * requires reading a few small files and the sizes of five files, but not starting a process.
 * `link` replaces this checkout's link to the binding.
 */
export function readyTensorFlow(link?: string): NativeEngine | undefined {
  try {
    const { moduleFile, ...installed } = tfjsPackage();
    const common = link ?? installed.moduleDirectory;
    return engineIn(ownLink(common), moduleFile) ?? engineIn(common, moduleFile);
  } catch {
    return undefined;
  }
}

/** Whether the engine is for this device; true for any engine if no device was chosen. */
export function isFor({ device }: NativeEngine, wanted: 'gpu' | 'cpu' | undefined): boolean {
  return wanted === undefined || (wanted === 'gpu') === (device === 'cuda');
}

function engineIn(moduleDirectory: string, moduleFile: string): NativeEngine | undefined {
  const manifest = readManifest(moduleDirectory);
  if (manifest === undefined || manifest.sources !== sourcesDigest()) return undefined;
  const { version, device, source, library, environment } = manifest;
  const binding = join(moduleDirectory, moduleFile);
  return { moduleDirectory, binding, version, device, source, library, environment };
}

/**
 * The manifest in a binding's folder; undefined if it is missing or has a different format, or if a
 * file that it lists is missing or has a different size.
 */
export function readManifest(directory: string): Manifest | undefined {
  try {
    const manifest = manifestSchema.parse(
      JSON.parse(readEntryNow(join(directory, MANIFEST_FILE)).toString('utf8')),
    );
    return manifest.files.every(({ path, bytes }) => statSync(path).size === bytes)
      ? manifest
      : undefined;
  } catch {
    return undefined;
  }
}

let knownDigest: string | undefined;

/** Digest of everything that goes into the binding, except TensorFlow's library. */
export function sourcesDigest(): string {
  return (knownDigest ??= digestOfSources());
}

function digestOfSources(): string {
  const { bindingSources, nodeApi } = tfjsPackage();
  const hash = createHash('sha256').update(`${process.arch} ${nodeApi}\n`);
  for (const name of readdirSync(bindingSources).toSorted()) {
    hash.update(name).update(readFileSync(join(bindingSources, name)));
  }
  for (const { source, file } of addonSources()) hash.update(file).update(readFileSync(source));
  return hash.digest('hex');
}
