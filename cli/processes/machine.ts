import { checkTemporaryFolder } from '../../shared/disk/temporary-folder.ts';
import { instantiate } from '../../shared/kernels/binary.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { FILES_OF_A_WORKER, MEMORIES_OF_A_WORKER, MIN_OPEN_FILES } from '../../shared/limits.ts';
import { ClusterError } from '../../shared/errors.ts';
import { tooFewFiles } from '../../shared/open-files.ts';

/** Something that all workers of this machine need alike. */
export interface MachineCheck {
  readonly name: string;
  /** What holds where `run` does not throw. */
  readonly good: string;
  /** Whether workers of this engine need it. */
  readonly isNeeded: boolean;
  /** Throws a ClusterError, or as WebAssembly refuses. */
  readonly run: () => void;
}

/** What is checked before the first worker starts, and by `doctor`. */
export function machineChecks(workers: number, engine: EngineKind): readonly MachineCheck[] {
  return [
    {
      name: 'open files',
      good: `enough for ${workers} workers (ulimit -n)`,
      isNeeded: true,
      run: () => {
        const lack = tooFewFiles(MIN_OPEN_FILES + FILES_OF_A_WORKER * workers);
        if (lack !== undefined) throw new ClusterError('LIMIT', lack.message, { fix: lack.fix });
      },
    },
    {
      // A process reserves addresses for each memory of WebAssembly, which ulimit -v may not allow.
      name: 'memory',
      good: 'WebAssembly can reserve what a worker needs',
      isNeeded: true,
      run: () => void Array.from({ length: MEMORIES_OF_A_WORKER }, () => instantiate(1)),
    },
    {
      // TensorFlow reads its graphs from files.
      name: 'disk: temporary',
      good: 'temporary files can be written (TMPDIR)',
      isNeeded: engine === 'tensorflow',
      run: checkTemporaryFolder,
    },
  ];
}

/**
 * Finds before the first worker starts what all would fail for alike. Throws LIMIT or DISK, or as
 * WebAssembly refuses.
 */
export function checkMachine(workers: number, engine: EngineKind): void {
  for (const { isNeeded, run } of machineChecks(workers, engine)) if (isNeeded) run();
}
