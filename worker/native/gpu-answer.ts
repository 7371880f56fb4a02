import { gpuReading, type GpuReading } from '../../shared/gpu-reading.ts';
import { MAX_GPUS } from '../../shared/limits.ts';

const MEBIBYTE = 1024 ** 2;

/**
 * The fields of a query of nvidia-smi besides the number of the GPU, their names here, and the
 * conversion of their units.
 */
const questions = [
  ['utilization.gpu', 'utilization', (percent: number) => percent / 100],
  ['memory.used', 'memoryUsedBytes', (mebibytes: number) => mebibytes * MEBIBYTE],
  ['memory.total', 'memorySizeBytes', (mebibytes: number) => mebibytes * MEBIBYTE],
  ['temperature.gpu', 'temperatureCelsius', (degrees: number) => degrees],
  ['power.draw', 'powerWatts', (watts: number) => watts],
] as const;

/** The arguments of nvidia-smi for an answer that parseReadings can parse. */
export const gpuQuestion: readonly string[] = [
  `--query-gpu=${['index', ...questions.map(([field]) => field)].join(',')}`,
  '--format=csv,noheader,nounits',
];

/**
 * Parses the answer of nvidia-smi: a line for each GPU. Omits values that are not a number
 * ("[N/A]", "[Not Supported]", "ERR!") or not a possible one, and lines without a GPU.
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
