export interface SimulationResult {
  readonly steps: number;
  readonly faults: number;
  /** Wrong results that workers have sent on purpose. */
  readonly lies: number;
  /** Weights that were replaced in shared memory before a worker has read them. */
  readonly stale: number;
  readonly virtualMilliseconds: number;
}

/**
 * `faults`: all faults of processes, networks, disks and memory. `liar`: one of several workers
 * always computes something wrong, everything is audited, and nothing happens to the others.
 * `suspended`: processes on one host with a slow network are suspended: some workers for long, the
 * coordinator for a while, or all of them at once.
 */
export type Story = 'faults' | 'liar' | 'suspended';
