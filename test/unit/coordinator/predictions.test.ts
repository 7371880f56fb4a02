import { describe, expect, it } from 'vitest';
import { reduce } from '../../../coordinator/decisions/training-loop.ts';
import { chunkFloatsOf, Predictions } from '../../../coordinator/predictions.ts';
import { createKernels } from '../../../shared/kernels/kernels.ts';
import { tensorOf } from '../../../shared/wire/frame.ts';
import { Cluster, configuration } from '../../fixtures/reducer-cluster.ts';

/** The effects of a chunk whose first row has this class and whose other rows have class 0. */
function effectsOf(predicted: number, wrongBits = 0n, isStale = false): readonly unknown[] {
  const predictions = new Predictions(configuration);
  const chunkFloats = chunkFloatsOf(configuration.model);
  const kernels = createKernels(4 * chunkFloats + 1024);
  const at = kernels.allocate(4 * chunkFloats);
  kernels.floats(at, chunkFloats).fill(0)[0] = predicted;
  const { checksum } = kernels.check(at, chunkFloats);
  const body = kernels.bytes(at, 4 * chunkFloats);
  const chunk = tensorOf({ header: {}, body, checksum: checksum ^ wrongBits });
  if (chunk === undefined) throw new Error('no body');

  const cluster = new Cluster();
  cluster.join(0);
  const [request] = cluster.requests;
  if (request === undefined) throw new Error('no request');
  const verdict = {
    ...request,
    correct: 0,
    microseconds: 1,
    checksum: chunk.checksum,
    ...predictions.receive({ ...chunk, isStale: () => isStale }),
  };
  return reduce(cluster.state, { kind: 'received', verdict, now: cluster.now }).effects;
}

function refusal(what: string): object {
  return { kind: 'close', slot: 0, code: 'PROTOCOL', message: `this worker sent ${what}` };
}

describe('predictions', () => {
  it.each([99, 2, -1, 0.5, NaN])('with class %d are refused with that reason', (predicted) => {
    expect(effectsOf(predicted)).toEqual([
      refusal(`predictions with class ${predicted}, but the model has 2 classes`),
    ]);
  });

  it('with a wrong checksum are refused with that reason, for any class', () => {
    for (const predicted of [1, 99])
      expect(effectsOf(predicted, 1n)).toEqual([refusal('a body with a wrong checksum')]);
  });

  it('that were replaced before they were read are not called damaged', () => {
    expect(effectsOf(1, 1n, true)).toEqual([expect.objectContaining({ code: 'TIMEOUT' })]);
  });

  it('with classes that exist are accepted', () => {
    for (const predicted of [0, 1])
      expect(effectsOf(predicted)).not.toContainEqual(expect.objectContaining({ kind: 'close' }));
  });
});
