import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeHeader } from '../../../shared/wire/frame.ts';
import { MAX_GPU_WATTS, MAX_GPUS } from '../../../shared/limits.ts';
import { parseMessage, workerMessage } from '../../../shared/wire/messages.ts';

const devices = (...gpus: object[]) => ({ kind: 'devices', gpus });

describe('the message about GPUs', () => {
  it('fits in a header with the maximum number of GPUs and the longest numbers', () => {
    const longest = {
      utilization: 1 / 3,
      temperatureCelsius: 1000 / 3,
      powerWatts: MAX_GPU_WATTS / 3,
      memoryUsedBytes: Number.MAX_SAFE_INTEGER,
      memorySizeBytes: Number.MAX_SAFE_INTEGER,
    };
    const message = devices(
      ...Array.from({ length: MAX_GPUS }, (_, index) => ({ index, ...longest })),
    );
    const { header } = decodeFrame(encodeHeader(message));
    expect(parseMessage(workerMessage, header)).toEqual(message);
  });

  it('may omit the values that a driver does not report', () => {
    for (const message of [devices(), devices({ index: 0 }), devices({ index: 3, powerWatts: 0 })])
      expect(parseMessage(workerMessage, decodeFrame(encodeHeader(message)).header)).toEqual(
        message,
      );
  });

  it.each<[string, object]>([
    [
      'more than MAX_GPUS GPUs',
      devices(...Array.from({ length: MAX_GPUS + 1 }, () => ({ index: 0 }))),
    ],
    ['a GPU without a number', devices({ utilization: 0.5 })],
    ['a GPU whose number is too high', devices({ index: MAX_GPUS })],
    ['a GPU with a name', devices({ index: 0, name: 'x' })],
    ['a utilization above 1', devices({ index: 0, utilization: 1.01 })],
    ['a power draw that is not finite', devices({ index: 0, powerWatts: Infinity })],
    ['a temperature that is not a number', devices({ index: 0, temperatureCelsius: NaN })],
    ['a temperature below absolute zero', devices({ index: 0, temperatureCelsius: -300 })],
    ['a negative memory size', devices({ index: 0, memoryUsedBytes: -1 })],
    ['text instead of a number', devices({ index: 0, memorySizeBytes: '1024' })],
    ['text instead of its GPUs', { kind: 'devices', gpus: 'all' }],
    ['no GPUs at all', { kind: 'devices' }],
  ])('is rejected with %s', (_, message) => {
    expect(() => parseMessage(workerMessage, decodeFrame(encodeHeader(message)).header)).toThrow(
      expect.objectContaining({ code: 'PROTOCOL' }),
    );
  });
});
