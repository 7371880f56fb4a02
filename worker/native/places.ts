import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';
import { packageRoot } from '../../shared/package-root.ts';

/** The paths that set-up uses. The functions in this file read only package.json files. */

/** The addons compiled from addons/*.cc, stored next to the binding. */
export const SUPPORT_FILE = 'support.node';
export const MEMORY_FILE = 'memory.node';
export const GRAPHS_FILE = 'graphs.node';

const packageSchema = z.object({
  version: z.string(),
  binary: z.object({ module_name: z.string(), napi_versions: z.array(z.int()).min(1) }),
});

/** The parts of @tensorflow/tfjs-node-gpu that the engine uses; the build copies them to dist/. */
export interface TfjsPackage {
  readonly version: string;
  /** The folder with the C++ sources of the binding. */
  readonly bindingSources: string;
  /** The Node-API level of the binding: the highest that both the package and this Node support. */
  readonly nodeApi: number;
  /** The link to the folder in the cache that contains the compiled binding. */
  readonly moduleDirectory: string;
  readonly moduleFile: string;
}

/** Throws if the build is missing. */
export function tfjsPackage(): TfjsPackage {
  const directory = join(packageRoot, 'dist', 'tfjs-node-gpu');
  const { version, binary } = packageSchema.parse(
    JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')),
  );
  const ours = Number(process.versions['napi'] ?? '8');
  const nodeApi = Math.max(...binary.napi_versions.filter((level) => level <= ours));
  return {
    version,
    bindingSources: join(directory, 'binding'),
    nodeApi,
    moduleDirectory: join(packageRoot, '.mnist-dist', `tensorflow-napi-v${nodeApi}`),
    moduleFile: `${binary.module_name}.node`,
  };
}

/**
 * The link that replaces `moduleDirectory` if this user may not write to it, as in a global
 * installation or when running as a service user.
 */
export function ownLink(moduleDirectory: string): string {
  const name = createHash('sha256').update(moduleDirectory).digest('hex').slice(0, 16);
  return join(cacheDirectory(), 'links', name);
}

/** The folder with the Node-API headers, from npm. */
export function nodeApiHeaders(): string {
  const file = createRequire(import.meta.url).resolve('node-api-headers/package.json');
  return join(dirname(file), 'include');
}

export interface AddonSource {
  readonly source: string;
  /** The file into which it is compiled. */
  readonly file: string;
  /** Whether it calls TensorFlow, and is linked to it. */
  readonly isLinked: boolean;
}

/** The sources of our addons. */
export function addonSources(): readonly AddonSource[] {
  // They stay with the sources, even when this code runs from dist/.
  const folder = join(packageRoot, 'worker', 'native', 'addons');
  return [
    { source: join(folder, 'support.cc'), file: SUPPORT_FILE, isLinked: false },
    { source: join(folder, 'mapped-memory.cc'), file: MEMORY_FILE, isLinked: false },
    { source: join(folder, 'graphs.cc'), file: GRAPHS_FILE, isLinked: true },
  ];
}
