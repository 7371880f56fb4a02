import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { sourcesDigest } from './compile.ts';
import { ownLink, tfjsPackage } from './places.ts';

/**
 * Written beside the binding after TensorFlow was loaded and multiplied; a later start needs only
 * this file.
 */
export const MANIFEST_FILE = 'manifest.json';
/** Increases when the build changes; older bindings are then rebuilt. */
export const BINDING_FORMAT = 2;

const manifestSchema = z.object({
  format: z.literal(BINDING_FORMAT),
  /** The version of TensorFlow that the library reports. */
  version: z.string(),
  /** The name of the set of wheels, or the path of the wheel or the folder. */
  source: z.string(),
  device: z.enum(['cpu', 'cuda']),
  /** The folder with libtensorflow_cc.so.2. */
  library: z.string(),
  /** Additional environment of a process that loads the library. */
  environment: z.record(z.string(), z.string()),
  files: z.array(z.object({ path: z.string(), bytes: z.int() })),
  /** Digest of the sources that were compiled (compile.ts). */
  sources: z.string(),
  compiler: z.string(),
  node: z.string(),
});

export type Manifest = z.infer<typeof manifestSchema>;

export interface NativeEngine {
  /**
   * The folder in which tfjs-node-gpu looks for its binding, or the one in the cache that replaces
   * it.
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
 * The engine that is set up for this checkout, if any. Reads a few small files and the sizes of
 * four files, which takes a few milliseconds, and starts no process. `link` is the folder where
 * tfjs-node-gpu looks for its binding.
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

function engineIn(moduleDirectory: string, moduleFile: string): NativeEngine | undefined {
  const manifest = readManifest(moduleDirectory);
  if (manifest === undefined || manifest.sources !== sourcesDigest()) return undefined;
  const { version, device, source, library, environment } = manifest;
  const binding = join(moduleDirectory, moduleFile);
  return { moduleDirectory, binding, version, device, source, library, environment };
}

/**
 * The manifest of a binding's folder; undefined if it is absent, of another format, or a file it
 * names has changed.
 */
export function readManifest(directory: string): Manifest | undefined {
  try {
    const manifest = manifestSchema.parse(
      JSON.parse(readFileSync(join(directory, MANIFEST_FILE), 'utf8')),
    );
    return manifest.files.every(({ path, bytes }) => statSync(path).size === bytes)
      ? manifest
      : undefined;
  } catch {
    return undefined;
  }
}
