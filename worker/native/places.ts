import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';

/** The paths that set-up uses. The functions in this file read only package.json files. */

/**
 * The checkout (or the installed package): the nearest parent folder that contains a package.json.
 */
export const packageRoot: string = findPackageRoot(dirname(fileURLToPath(import.meta.url)));

/** The addon compiled from support.cc, stored next to the binding. */
export const SUPPORT_FILE = 'support.node';

const packageSchema = z.object({
  version: z.string(),
  binary: z.object({
    module_name: z.string(),
    module_path: z.string(),
    napi_versions: z.array(z.int()).min(1),
  }),
});

export interface TfjsPackage {
  readonly directory: string;
  readonly version: string;
  /** The Node-API level of the binding: the highest that both the package and this Node support. */
  readonly nodeApi: number;
  /** The folder in which the package looks for its binding; we make it a link into the cache. */
  readonly moduleDirectory: string;
  readonly moduleFile: string;
}

/**
 * The tfjs-node-gpu that npm installed; throws if it is missing. The paths follow the rule of
 * `find` in node-pre-gyp.
 */
export function tfjsPackage(root: string = packageRoot): TfjsPackage {
  const file = createRequire(join(root, 'package.json')).resolve(
    '@tensorflow/tfjs-node-gpu/package.json',
  );
  const { version, binary } = packageSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  const ours = Number(process.versions['napi'] ?? '8');
  const nodeApi = Math.max(...binary.napi_versions.filter((level) => level <= ours));
  const directory = dirname(file);
  const path = binary.module_path.replace('{napi_build_version}', String(nodeApi));
  return {
    directory,
    version,
    nodeApi,
    moduleDirectory: join(directory, path),
    moduleFile: `${binary.module_name}.node`,
  };
}

/**
 * The link that replaces `moduleDirectory` if this user may not write to it, as in a global
 * installation or for a service's user.
 */
export function ownLink(moduleDirectory: string): string {
  const name = createHash('sha256').update(moduleDirectory).digest('hex').slice(0, 16);
  return join(cacheDirectory(), 'links', name);
}

/** The folder with the Node-API headers, from npm. */
export function nodeApiHeaders(root: string = packageRoot): string {
  const file = createRequire(join(root, 'package.json')).resolve('node-api-headers/package.json');
  return join(dirname(file), 'include');
}

function findPackageRoot(start: string): string {
  let directory = start;
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above ${start}`);
    directory = parent;
  }
  return directory;
}
