import { instantiate } from '../../shared/kernels/binary.ts';
import { FILES_OF_A_WORKER, MEMORIES_OF_A_WORKER, MIN_OPEN_FILES } from '../../shared/limits.ts';
import { ClusterError } from '../../shared/errors.ts';
import { checkFileSizes, type FileNeeding } from '../../shared/file-needs.ts';
import { tooFewFiles } from '../../shared/open-files.ts';

/** A resource that every worker on this machine needs. */
export interface MachineCheck {
  readonly name: string;
  /** What `doctor` reports if `run` does not throw. */
  readonly good: string;
  /** Throws a ClusterError or the error from WebAssembly. */
  readonly run: () => void;
}

/** The checks before the first worker starts; `doctor` shows them as well. */
export function machineChecks(workers: number): readonly MachineCheck[] {
  return [
    {
      name: 'open files',
      good: `enough for ${workers} workers (ulimit -n)`,
      run: () => {
        const lack = tooFewFiles(MIN_OPEN_FILES + FILES_OF_A_WORKER * workers);
        if (lack !== undefined) throw new ClusterError('LIMIT', lack.message, { fix: lack.fix });
      },
    },
    {
      // Each WebAssembly memory reserves address space, which ulimit -v may not allow.
      name: 'memory',
      good: 'WebAssembly can reserve the memory that a worker needs',
      run: () => void Array.from({ length: MEMORIES_OF_A_WORKER }, () => instantiate(1)),
    },
  ];
}

/** The check that `doctor` shows; a run checks what its own model needs. */
export function fileSizeCheck(run: FileNeeding): MachineCheck {
  return {
    name: 'file size',
    good: 'enough for checkpoints of the default model (ulimit -f)',
    run: () => checkFileSizes(run, 0),
  };
}

/**
 * Checks this machine's resources before the first worker starts, so that a shortage is reported
 * once rather than once per worker. Throws LIMIT or the error from WebAssembly.
 */
export function checkMachine(workers: number): void {
  for (const { run } of machineChecks(workers)) run();
}
