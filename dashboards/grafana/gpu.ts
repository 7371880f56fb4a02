import type { MetricName } from '../metrics/catalogue.ts';
import type { Plan } from './layout.ts';
import { workerColors } from './palette.ts';
import { lines, type PanelSource } from './panels.ts';
import { of, range, valueBy, type Query } from './queries.ts';

const by = 'worker, gpu';
const perGpu = (name: MetricName): Query => range('{{worker}} GPU {{gpu}}', valueBy(by, name));

/** A panel of half the width, with lines in the workers' colours. */
function byGpu(panel: Omit<Parameters<typeof lines>[0], 'width' | 'height'>): PanelSource {
  return lines({ width: 12, height: 9, field: { min: 0 }, overrides: workerColors, ...panel });
}

const panels: readonly PanelSource[] = [
  byGpu({
    title: 'Utilization',
    unit: 'percentunit',
    field: { min: 0, max: 1 },
    description:
      'Share of time during which the GPU was busy, as nvidia-smi reports it. MNIST leaves a ' +
      'large GPU mostly idle; a larger batch size uses more of it.',
    queries: [perGpu('gpu_utilization_ratio')],
  }),
  byGpu({
    title: 'Memory in use',
    unit: 'percentunit',
    field: { min: 0, max: 1 },
    description:
      "Share of the GPU's memory in use by all processes. TensorFlow allocates nearly all of the " +
      'memory in advance.',
    queries: [
      range(
        '{{worker}} GPU {{gpu}}',
        `${valueBy(by, 'gpu_memory_used_bytes')} / ${valueBy(by, 'gpu_memory_size_bytes')}`,
      ),
    ],
  }),
  byGpu({
    title: 'Temperature',
    unit: 'celsius',
    field: {},
    description:
      'Most GPUs slow down above about 90 degrees. If one gets that hot, check the step times of ' +
      'its worker.',
    queries: [perGpu('gpu_temperature_celsius')],
  }),
  byGpu({
    title: 'Power',
    unit: 'watt',
    description: 'Power draw of the GPU.',
    queries: [perGpu('gpu_power_watts')],
  }),
  byGpu({
    title: 'Memory in bytes',
    unit: 'bytes',
    description: 'GPU memory in use.',
    queries: [perGpu('gpu_memory_used_bytes')],
  }),
  byGpu({
    title: 'Samples per joule',
    unit: 'none',
    description:
      "Training samples per joule: a worker's samples divided by the energy that its GPUs use. " +
      'Larger batches or fewer workers raise this value.',
    queries: [
      range(
        '{{worker}}',
        `sum by (worker) (rate(${of('train_samples_total')}[$__rate_interval])) / sum by ` +
          `(worker) (${of('gpu_power_watts')})`,
      ),
    ],
  }),
];

export const gpu: Plan = {
  uid: 'mnist-dist-gpu',
  title: 'mnist-dist / GPU',
  description: "The workers' GPUs, as nvidia-smi reports them. Empty if no worker has a GPU.",
  rows: [{ title: 'GPUs', panels }],
};
