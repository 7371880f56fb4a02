import { phasesOf } from '../../../../cli/bench/step-phases.ts';
import type { BenchReport } from '../../../../cli/bench/bench-report.ts';
import { spreadOf } from '../../../../cli/bench/statistics.ts';

/** A report with a single measurement, for tests of the report's format. */
export function reportFixture(): BenchReport {
  const phases = phasesOf({
    stepMilliseconds: 1,
    shards: [[2], [2]],
    gradientMilliseconds: () => 0.2,
    wireMilliseconds: 0.5,
    kernelMicroseconds: () => 20,
  });
  return {
    format: 2,
    version: '1.2.3',
    engine: 'wasm',
    pairs: 3,
    machine: { node: '20.20.2', platform: 'linux x64', processor: 'AMD EPYC', cores: 2 },
    model: { inputs: 784, hidden: [128], classes: 10, parameters: 101_770 },
    kernels: [
      { kernel: 'mask', batch_size: 32, microseconds: spreadOf([9, 8, 12]) },
      { kernel: 'adam', microseconds: spreadOf([80, 83, 81]) },
    ],
    coordinator: [{ workers: 2, microseconds: spreadOf([90, 88, 95]) }],
    observation: { workers: 4, microseconds: spreadOf([5.2, 5.1, 6.4]) },
    engines: [
      {
        engine: 'wasm',
        library: 'tfjs-backend-wasm 4.22.0',
        batch_size: 32,
        virtual_shards: 4,
        shards: 2,
        milliseconds: spreadOf([0.19, 0.2, 0.3]),
      },
    ],
    skipped: [{ engine: 'tensorflow', reason: 'no compiler' }],
    wire: [{ transport: 'tcp', workers: 2, steps_per_second: spreadOf([960, 852, 1000]) }],
    loop: [
      {
        batch_size: 32,
        virtual_shards: 4,
        workers: 2,
        steps: 1500,
        steps_per_second: spreadOf([1000, 990, 1063]),
        step_milliseconds: spreadOf([1, 0.9, 1.1]),
        phases,
      },
    ],
  };
}
