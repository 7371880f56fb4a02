export interface SimulationResult {
  readonly steps: number;
  readonly faults: number;
  /** Wrong results that workers sent on purpose. */
  readonly lies: number;
  /** Weights that were replaced in shared memory before a worker had read them. */
  readonly stale: number;
  readonly virtualMilliseconds: number;
}

/**
 * `faults`: all kinds of faults in processes, networks, disks and memory. `liar`: one of several
 * workers always computes wrong results, everything is audited, and the others are not disturbed.
 * `suspended`: processes on one host with a slow network are suspended: some workers for a long
 * time, the coordinator for a while, or all of them together.
 */
export type Story = 'faults' | 'liar' | 'suspended';
