import { gpuReading, type GpuReading } from '../../shared/gpu-reading.ts';
import { MAX_GPUS } from '../../shared/limits.ts';

const MEBIBYTE = 1024 ** 2;

/**
 * The fields that nvidia-smi is queried for, besides the GPU index: their names in nvidia-smi, our
 * names for them, and the conversion of their units.
 */
const questions = [
  ['utilization.gpu', 'utilization', (percent: number) => percent / 100],
  ['memory.used', 'memoryUsedBytes', (mebibytes: number) => mebibytes * MEBIBYTE],
  ['memory.total', 'memorySizeBytes', (mebibytes: number) => mebibytes * MEBIBYTE],
  ['temperature.gpu', 'temperatureCelsius', (degrees: number) => degrees],
  ['power.draw', 'powerWatts', (watts: number) => watts],
] as const;

/** The nvidia-smi arguments whose output parseReadings can parse. */
export const gpuQuestion: readonly string[] = [
  `--query-gpu=${['index', ...questions.map(([field]) => field)].join(',')}`,
  '--format=csv,noheader,nounits',
];

/**
 * Parses nvidia-smi's output, which has one line per GPU. Omits values that are not numbers
 * ("[N/A]", "[Not Supported]", "ERR!") or are out of range, and lines that do not describe a GPU.
 */
export function parseReadings(answer: string): readonly GpuReading[] {
  return answer
    .split('\n')
    .flatMap((line) => readingOf(line.split(',').map((field) => field.trim())))
    .slice(0, MAX_GPUS);
}

function readingOf([index = '', ...texts]: readonly string[]): GpuReading[] {
  const measured = questions.flatMap(([, name, convert], i) => {
    const number = numberIn(texts[i] ?? '');
    if (number === undefined) return [];
    const { data } = gpuReading.shape[name].safeParse(convert(number));
    return data === undefined ? [] : [[name, data]];
  });
  const reading = gpuReading.safeParse({ index: numberIn(index), ...Object.fromEntries(measured) });
  return reading.success ? [reading.data] : [];
}

function numberIn(text: string): number | undefined {
  return /^-?\d{1,15}(\.\d{1,15})?$/.test(text) ? Number(text) : undefined;
}
