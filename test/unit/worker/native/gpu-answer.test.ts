import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpuReading } from '../../../../shared/gpu-reading.ts';
import { MAX_GPUS } from '../../../../shared/limits.ts';
import { gpuQuestion, parseReadings } from '../../../../worker/native/gpu-answer.ts';
import { gpuLine, gpuLineReading, MEBIBYTE } from '../../../fixtures/engine/gpu-answer.ts';

describe('the output of nvidia-smi', () => {
  it('has its fields in the order in which they are parsed', () => {
    expect(gpuQuestion).toEqual([
      '--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw',
      '--format=csv,noheader,nounits',
    ]);
  });

  it('is parsed into ratios, bytes, degrees and watts, one GPU per line', () => {
    const answer = `${gpuLine}\n1, 0, 4, 81559, 29, 69.78\n`;
    expect(parseReadings(answer)).toEqual([
      gpuLineReading,
      {
        index: 1,
        utilization: 0,
        memoryUsedBytes: 4 * MEBIBYTE,
        memorySizeBytes: 81_559 * MEBIBYTE,
        temperatureCelsius: 29,
        powerWatts: 69.78,
      },
    ]);
  });

  it.each<[string, string, object[]]>([
    [
      'unknown values',
      '0, [N/A], [N/A], [N/A], 41, [N/A]\n',
      [{ index: 0, temperatureCelsius: 41 }],
    ],
    [
      'unsupported values and errors',
      '0, [Not Supported], ERR!, [Unknown Error], , [Insufficient Permissions]\n',
      [{ index: 0 }],
    ],
    ['impossible values', '0, 101, -5, 0, 99999, 1e9\n', [{ index: 0, memorySizeBytes: 0 }]],
    ['missing fields', '2, 5\r\n', [{ index: 2, utilization: 0.05 }]],
    [
      'spaces',
      '  0 ,  5 ,\t6 ,7 , 8 , 9.5  ',
      [expect.objectContaining({ index: 0, powerWatts: 9.5 })],
    ],
    ['lines without a GPU', 'No devices were found\n\n[N/A], 5\n-1, 5\n1.5, 5\n', []],
    ['GPUs whose index is too high', `${MAX_GPUS}, 5\n${'9'.repeat(400)}, 5\n`, []],
    [
      'units',
      '0, 57 %, 1432 MiB, 81559 MiB, 34, 118.25 W\n',
      [{ index: 0, temperatureCelsius: 34 }],
    ],
    ['no text', '', []],
  ])('is parsed with %s', (_, answer, readings) => {
    expect(parseReadings(answer)).toEqual(readings);
  });

  it('is cut off after MAX_GPUS GPUs', () => {
    expect(parseReadings('0, 5\n'.repeat(100_000))).toHaveLength(MAX_GPUS);
    expect(parseReadings('5'.repeat(1_000_000))).toEqual([]);
  });

  it('is parsed into readings that a message accepts, for any text', () => {
    const field = fc.oneof(fc.integer().map(String), fc.double().map(String), fc.string());
    const line = fc.array(field, { maxLength: 8 }).map((fields) => fields.join(','));
    const answers = fc.array(line).map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(answers, (answer) => {
        for (const reading of parseReadings(answer))
          expect(gpuReading.parse(reading)).toEqual(reading);
      }),
    );
  });
});
