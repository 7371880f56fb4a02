import { describe, expect, it } from 'vitest';
import type { Augment } from '../../../shared/arithmetic/augment.ts';
import { ClusterError } from '../../../shared/errors.ts';
import { EVALUATION_CHUNK_ROWS } from '../../../shared/limits/model.ts';
import { epochOrder } from '../../../shared/arithmetic/random.ts';
import { createKernels } from '../../../shared/kernels/kernels.ts';
import { chunkBytes, createChunks } from '../../../worker/chunks.ts';
import { createReferenceEngine } from '../../../worker/engines/reference.ts';
import type { Batch, Engine } from '../../../worker/engines/engine.ts';
import { fingerprint } from '../../../worker/probe.ts';
import type { BatchBuilder } from '../../../worker/batch.ts';
import type { ProbeInput } from '../../../worker/probe.ts';
import { summedByKernel } from '../../../worker/engines/summed-by-kernel.ts';
import type { ModelShape } from '../../../shared/arithmetic/model-shape.ts';
import { conv2d, pooling } from '../../fixtures/engine/models.ts';
import { createFixture } from '../../fixtures/engine/engine-cases.ts';
import type { Fixture, FixtureOptions } from '../../fixtures/engine/engine-cases.ts';

const fixtureOptions = {
  hidden: [6],
  inputs: 9,
  batchSize: 16,
  evaluationRows: EVALUATION_CHUNK_ROWS,
};

function inputWith(
  engine: (fixture: Fixture) => Engine,
  trainSamples = 300,
  options: FixtureOptions = fixtureOptions,
): ProbeInput {
  const fixture = createFixture(options);
  const { kernels, weights, builder, data, shape } = fixture;
  const test = { ...data, samples: data.labels.length };
  return {
    engine: engine(fixture),
    kernels,
    weights,
    batches: builder,
    chunks: createChunks(createKernels(chunkBytes(shape.model)), shape.model, {
      test,
      validation: test,
    }),
    order: epochOrder(1, 1, 300),
    configuration: {
      trainSamples,
      batchSize: 16,
      virtualShards: 4,
      epochs: 1,
      model: shape.model,
      augment: options.augment,
    },
  };
}

function honest({ shape, kernels, floats }: Fixture): Engine {
  return summedByKernel(createReferenceEngine(shape), kernels, {
    floats,
    maxShards: 4,
    unitShards: 1,
  });
}

/** The honest engine, presented as "tensorflow". `change` may alter its results. */
function altered(
  change: (out: Float32Array, batch: Batch, call: number) => void,
): (fixture: Fixture) => Engine {
  return (fixture) => {
    const engine = honest(fixture);
    let call = 0;
    return {
      ...engine,
      description: { ...engine.description, kind: 'tensorflow', library: 'a test' },
      partialSum(weights, batch, out) {
        const correct = engine.partialSum(weights, batch, out);
        change(out, batch, ++call);
        return correct;
      },
    };
  };
}

/** Replaces a value with the next float32 away from 0. */
function nudge(out: Float32Array, index: number): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  bits[index] = (bits[index] ?? 0) + 1;
}

const [SIDE, FILTERS] = [6, 4];

/** A model that can be computed on mirrored images. */
function mirrorable(kind: 'max_pooling2d' | 'average_pooling2d'): ModelShape {
  const layers = [conv2d(FILTERS, [3, 3]), pooling(kind, [2, 2]), { kind: 'flatten' }] as const;
  return { rows: SIDE, columns: SIDE, layers, classes: 3 };
}

/**
 * The honest engine on images turned by 180 degrees, with weights turned likewise. It computes the
 * same, except that the last of equal values gets the gradient of a maximum.
 */
function mirrored(fixture: Fixture): Engine {
  const { shape, floats } = fixture;
  const engine = honest(fixture);
  // The 3 x 3 window, and the 2 x 2 places of the pooled image, each with their values.
  const windows = [
    { offset: 0, places: 9, values: FILTERS },
    { offset: 10 * FILTERS, places: 4, values: FILTERS * shape.model.classes },
  ];
  const turned = (vector: Float32Array) => {
    const result = vector.slice();
    for (const { offset, places, values } of windows)
      for (let place = 0; place < places; place++) {
        const from = offset + (places - 1 - place) * values;
        result.set(vector.subarray(from, from + values), offset + place * values);
      }
    return result;
  };
  const pixels = SIDE * SIDE;
  const turnedImages = (images: Float32Array) =>
    images.map((_, i) => images[i - (i % pixels) + pixels - 1 - (i % pixels)] ?? NaN);
  return {
    ...engine,
    partialSum(weights, batch, out) {
      const own = new Float32Array(floats);
      const inputs = turnedImages(batch.inputs);
      const correct = engine.partialSum(turned(weights), { ...batch, inputs }, own);
      out.set(turned(own));
      return correct;
    },
    predict: (weights, inputs, labels, out) =>
      engine.predict(turned(weights), turnedImages(inputs), labels, out),
  };
}

function errorOf(act: () => unknown): ClusterError {
  try {
    act();
  } catch (error) {
    if (error instanceof ClusterError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the fingerprint', () => {
  it('is the same each time for the same engine, which remains in use', () => {
    const input = inputWith(honest);
    const probed = fingerprint(input);
    expect(probed.engine).toBe(input.engine);
    expect(probed.disagreement).toBeUndefined();
    expect(probed.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(fingerprint(inputWith(honest)).fingerprint).toBe(probed.fingerprint);
  });

  it('differs when one bit of one shard differs', () => {
    const same = fingerprint(inputWith(altered(() => undefined)));
    const other = fingerprint(
      inputWith(altered((out, batch) => batch.shards === 1 && nudge(out, 5))),
    );
    expect(other.fingerprint).not.toBe(same.fingerprint);
  });

  it("covers the run's label smoothing", () => {
    const [none, zero, some] = [undefined, 0, 0.1].map((labelSmoothing) => {
      const options = labelSmoothing === undefined ? {} : { labelSmoothing };
      return fingerprint(inputWith(honest, 300, { ...fixtureOptions, ...options })).fingerprint;
    });
    expect(zero).toBe(none);
    expect(some).not.toBe(none);
  });

  it.each(['max_pooling2d', 'average_pooling2d'] as const)(
    'differs when another of equal values gets the gradient, but not otherwise: %s',
    (kind) => {
      const model = mirrorable(kind);
      const inputOf = (engine: (fixture: Fixture) => Engine) =>
        inputWith(engine, 300, { ...fixtureOptions, model });
      const [same, other] = [honest, mirrored].map(
        (engine) => fingerprint(inputOf(engine)).fingerprint,
      );
      expect(other === same).toBe(kind === 'average_pooling2d');
    },
  );

  it("falls back to single shards when the engine's sums differ in one bit", () => {
    const input = inputWith(altered((out, batch) => batch.shards === 4 && nudge(out, 17)));
    const probed = fingerprint(input);
    expect(probed.engine).not.toBe(input.engine);
    expect(probed.disagreement).toContain('4 shards in one call');
    // Shard by shard it computes the same as an engine whose sums agree.
    expect(probed.fingerprint).toBe(fingerprint(inputWith(altered(() => undefined))).fingerprint);
  });

  it('falls back when only sums near 1e-38 differ', () => {
    const isTiny = (batch: Batch) => batch.scale.some((scale) => scale > 0 && scale < 1e-30);
    const probed = fingerprint(
      inputWith(altered((out, batch) => batch.shards === 2 && isTiny(batch) && nudge(out, 3))),
    );
    expect(probed.disagreement).toContain('gradients near 1e-38');
  });

  it('rejects an engine that computes different bytes each time', () => {
    const input = inputWith(altered((out, _, call) => void (out[0] = call)));
    const error = errorOf(() => fingerprint(input));
    expect(error.code).toBe('ENGINE');
    expect(error.message).toContain('than before');
  });

  it('rejects an engine whose sums differ and which cannot fall back', () => {
    const lossy = (fixture: Fixture): Engine => {
      const engine = altered((out, batch) => batch.shards === 2 && nudge(out, 0))(fixture);
      return { ...engine, description: { ...engine.description, kind: 'wasm' } };
    };
    expect(errorOf(() => fingerprint(inputWith(lossy))).message).toContain('2 shards in one call');
  });

  it('requests only shards with a sample when the first batch is short', () => {
    const asked = new Set<number>();
    fingerprint(
      inputWith(
        altered((_, batch) => asked.add(batch.shards)),
        9,
      ),
    );
    // 9 samples fill two shards of 4 rows and one row of the third.
    expect(asked).toEqual(new Set([1, 2]));
  });

  it('has the augmented images of the first batch, but computes without augmentation', () => {
    const printOf = (augment?: Augment) => {
      const seen = new Set<string>();
      const spy = altered((_, { inputs }) => seen.add(inputs.join(' ')));
      const options = { ...fixtureOptions, ...(augment === undefined ? {} : { augment }) };
      return { ...fingerprint(inputWith(spy, 300, options)), seen };
    };
    const plain = printOf();
    const shifted = printOf({ shift: 2, rotate: 0, zoom: 0 });
    expect(shifted.seen).toEqual(plain.seen);
    expect(shifted.fingerprint).not.toBe(plain.fingerprint);
    expect(printOf({ shift: 2, rotate: 0, zoom: 0 }).fingerprint).toBe(shifted.fingerprint);
    expect(printOf({ shift: 2.5, rotate: 0, zoom: 0 }).fingerprint).not.toBe(shifted.fingerprint);
  });

  it('differs if one augmented pixel of the last row differs', () => {
    const options = { ...fixtureOptions, augment: { shift: 2, rotate: 0, zoom: 0 } };
    const input = inputWith(honest, 300, options);
    const batches: BatchBuilder = {
      ...input.batches,
      build(plan, node, order) {
        const batch = input.batches.build(plan, node, order);
        const inputs = batch.inputs.slice();
        if (node === 7) inputs[inputs.length - 1] = 1 - (inputs.at(-1) ?? NaN);
        return { ...batch, inputs };
      },
    };
    const other = fingerprint({ ...inputWith(honest, 300, options), batches });
    expect(other.fingerprint).not.toBe(fingerprint(input).fingerprint);
  });
});
