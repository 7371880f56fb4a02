import { rmdirSync } from 'node:fs';
import { makeTemporaryFolder } from '../data/temporary-folder.ts';
import { instantiate } from '../kernels/binary.ts';
import type { EngineKind } from '../shared/engine-identity.ts';
import { FILES_OF_A_WORKER, MEMORIES_OF_A_WORKER, MIN_OPEN_FILES } from '../shared/limits.ts';
import { ClusterError } from '../shared/errors.ts';
import { tooFewFiles } from './open-files.ts';

/** Finds before the first worker starts what all would fail for alike. Throws LIMIT or DISK, or as WebAssembly refuses. */
export function checkMachine(workers: number, engine: EngineKind): void {
  const lack = tooFewFiles(MIN_OPEN_FILES + FILES_OF_A_WORKER * workers);
  if (lack !== undefined) throw new ClusterError('LIMIT', lack.message, { fix: lack.fix });
  // A process reserves addresses for each memory of WebAssembly, which ulimit -v may not allow.
  Array.from({ length: MEMORIES_OF_A_WORKER }, () => instantiate(1));
  // TensorFlow reads its graphs from files.
  if (engine === 'tensorflow') rmdirSync(makeTemporaryFolder('check'));
}
