import type { MetricName } from '../metrics/catalogue.ts';
import type { Plan } from './layout.ts';
import { workerColors } from './palette.ts';
import { lines, type PanelSource } from './panels.ts';
import { of, range, valueBy, type Query } from './queries.ts';

const by = 'worker, gpu';
const perGpu = (name: MetricName): Query => range('{{worker}} GPU {{gpu}}', valueBy(by, name));

const panels: readonly PanelSource[] = [
  lines({
    title: 'Utilization',
    width: 12,
    height: 9,
    unit: 'percentunit',
    field: { min: 0, max: 1 },
    description:
      'Share of time in which the GPU was busy, as nvidia-smi says. MNIST leaves a large GPU idle: a larger batch size uses more of it.',
    queries: [perGpu('gpu_utilization_ratio')],
    overrides: workerColors,
  }),
  lines({
    title: 'Memory in use',
    width: 12,
    height: 9,
    unit: 'percentunit',
    field: { min: 0, max: 1 },
    description:
      'Share of the memory of the GPU, by whatever process. TensorFlow takes nearly all of it at once.',
    queries: [
      range(
        '{{worker}} GPU {{gpu}}',
        `${valueBy(by, 'gpu_memory_used_bytes')} / ${valueBy(by, 'gpu_memory_size_bytes')}`,
      ),
    ],
    overrides: workerColors,
  }),
  lines({
    title: 'Temperature',
    width: 12,
    height: 9,
    unit: 'celsius',
    description:
      'A GPU that gets too hot, most of them near 90 degrees, slows down: look at its step times then.',
    queries: [perGpu('gpu_temperature_celsius')],
    overrides: workerColors,
  }),
  lines({
    title: 'Power',
    width: 12,
    height: 9,
    unit: 'watt',
    field: { min: 0 },
    description: 'Power that the GPU draws.',
    queries: [perGpu('gpu_power_watts')],
    overrides: workerColors,
  }),
  lines({
    title: 'Memory in bytes',
    width: 12,
    height: 9,
    unit: 'bytes',
    field: { min: 0 },
    description: 'Memory of the GPU in use.',
    queries: [perGpu('gpu_memory_used_bytes')],
    overrides: workerColors,
  }),
  lines({
    title: 'Samples per joule',
    width: 12,
    height: 9,
    unit: 'none',
    field: { min: 0 },
    description:
      'Training samples of a worker for the energy that its GPUs draw: what a larger batch or fewer workers save.',
    queries: [
      range(
        '{{worker}}',
        `sum by (worker) (rate(${of('train_samples_total')}[$__rate_interval])) / sum by (worker) (${of('gpu_power_watts')})`,
      ),
    ],
    overrides: workerColors,
  }),
];

export const gpu: Plan = {
  uid: 'mnist-dist-gpu',
  title: 'mnist-dist / GPU',
  description: 'The GPUs of the workers, as nvidia-smi sees them. Empty where no worker has one.',
  rows: [{ title: 'GPUs', panels }],
};
