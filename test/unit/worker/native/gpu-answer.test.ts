import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gpuReading } from '../../../../shared/gpu-reading.ts';
import { MAX_GPUS } from '../../../../shared/limits.ts';
import { gpuQuestion, parseReadings } from '../../../../worker/native/gpu-answer.ts';

const MEBIBYTE = 1024 ** 2;

describe('what nvidia-smi says of its GPUs', () => {
  it('is asked for in the order in which it is read', () => {
    expect(gpuQuestion).toEqual([
      '--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw',
      '--format=csv,noheader,nounits',
    ]);
  });

  it('becomes ratios, bytes, degrees and watts, a GPU a line', () => {
    const answer = '0, 57, 1432, 81559, 34, 118.25\n1, 0, 4, 81559, 29, 69.78\n';
    expect(parseReadings(answer)).toEqual([
      {
        index: 0,
        utilization: 0.57,
        memoryUsedBytes: 1432 * MEBIBYTE,
        memorySizeBytes: 81_559 * MEBIBYTE,
        temperatureCelsius: 34,
        powerWatts: 118.25,
      },
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
      'what it does not know',
      '0, [N/A], [N/A], [N/A], 41, [N/A]\n',
      [{ index: 0, temperatureCelsius: 41 }],
    ],
    [
      'what is not supported, or wrong',
      '0, [Not Supported], ERR!, [Unknown Error], , [Insufficient Permissions]\n',
      [{ index: 0 }],
    ],
    ['what no GPU can have', '0, 101, -5, 0, 99999, 1e9\n', [{ index: 0, memorySizeBytes: 0 }]],
    ['fields that are missing', '2, 5\r\n', [{ index: 2, utilization: 0.05 }]],
    [
      'spaces',
      '  0 ,  5 ,\t6 ,7 , 8 , 9.5  ',
      [expect.objectContaining({ index: 0, powerWatts: 9.5 })],
    ],
    ['lines that are no GPU', 'No devices were found\n\n[N/A], 5\n-1, 5\n1.5, 5\n', []],
    ['GPUs whose number is too high', `${MAX_GPUS}, 5\n${'9'.repeat(400)}, 5\n`, []],
    [
      'units',
      '0, 57 %, 1432 MiB, 81559 MiB, 34, 118.25 W\n',
      [{ index: 0, temperatureCelsius: 34 }],
    ],
    ['nothing', '', []],
  ])('leaves out %s', (_, answer, readings) => {
    expect(parseReadings(answer)).toEqual(readings);
  });

  it('is cut off after as many GPUs as a message takes', () => {
    expect(parseReadings('0, 5\n'.repeat(100_000))).toHaveLength(MAX_GPUS);
    expect(parseReadings('5'.repeat(1_000_000))).toEqual([]);
  });

  it('becomes nothing that a message does not take, whatever it is', () => {
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
