import { describe, expect, it } from 'vitest';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { createFloat64Model, crossEntropy, softmax } from '../../worker/engines/float64.ts';
import type { Batch, Engine } from '../../worker/engines/engine.ts';
import { splitBatch } from '../../worker/engines/summed-by-kernel.ts';
import { createFixture } from './fixture.ts';
import type { Fixture, FixtureOptions } from './fixture.ts';

const models: readonly FixtureOptions[] = [
  { hidden: [128] },
  { hidden: [32], dropout: 0 },
  { hidden: [64, 32] },
  { hidden: [7, 5], inputs: 21, batchSize: 20 },
  { hidden: [16], inputs: 30, batchSize: 64, virtualShards: 32 },
];

/** What every engine must do. `create` makes one for the fixture's shape; `missing` says why it cannot run here. */
export function engineContract(
  name: string,
  create: (fixture: Fixture) => Promise<Engine>,
  missing?: string,
): void {
  describe.skipIf(missing !== undefined)(
    `engine ${name}${missing === undefined ? '' : `: ${missing}`}`,
    () => {
      for (const options of models) {
        const label = `hidden ${options.hidden.join('-')}${options.dropout === 0 ? ', no dropout' : ''}`;
        it(`${label}: gradient, loss and correct rows agree with float64, for every size of subtree`, async () => {
          await withEngine(options, create, (fixture, engine) => {
            for (const node of [1, 2, 3, 4, 6, 7]) agreesWithFloat64(fixture, engine, fixture.batch(node));
          });
        });
        it(`${label}: rows of padding count for nothing`, async () => {
          await withEngine(options, create, (fixture, engine) => {
            const { rowsPerShard } = fixture.shape;
            for (const samples of [1, rowsPerShard + 1, 4 * rowsPerShard - 1]) {
              agreesWithFloat64(fixture, engine, fixture.batch(1, samples));
            }
          });
        });
        it(`${label}: grouping does not change a byte, even where sums are subnormal`, async () => {
          await withEngine(options, create, (fixture, engine) => {
            for (const node of [1, 2, 3]) {
              groupsAlike(fixture, engine, fixture.batch(node));
              groupsAlike(fixture, engine, scaled(fixture.batch(node), 2 ** -121));
              groupsAlike(fixture, engine, scaled(fixture.batch(node), 2 ** -125));
            }
          });
        });
        it(`${label}: predictions agree with float64`, async () => {
          await withEngine(options, create, predictsAlike);
        });
      }

      it('computes the same bytes twice', async () => {
        await withEngine({ hidden: [128] }, create, (fixture, engine) => {
          const batch = fixture.batch(1);
          const once = gradientOf(fixture, engine, batch);
          expect(bytesOf(gradientOf(fixture, engine, batch)).equals(bytesOf(once))).toBe(true);
        });
      });

      it('does not depend on where its arguments lie in memory', async () => {
        await withEngine({ hidden: [128] }, create, (fixture, engine) => {
          const batch = fixture.batch(2);
          const expected = gradientOf(fixture, engine, batch);
          const shifted = (array: Float32Array, by: number) => {
            const room = new Float32Array(array.length + by);
            room.set(array, by);
            return room.subarray(by);
          };
          const moved = {
            ...batch,
            inputs: shifted(batch.inputs, 1),
            masks: batch.masks.map((m) => shifted(m, 3)),
          };
          const out = new Float32Array(fixture.floats);
          engine.partialSum(shifted(fixture.weights, 1), moved, out);
          expect(bytesOf(out).equals(bytesOf(expected))).toBe(true);
        });
      });

      it('takes the lowest class where logits tie', async () => {
        await withEngine({ hidden: [32], dropout: 0 }, create, (fixture, engine) => {
          const batch = fixture.batch(1);
          fixture.weights.fill(0);
          const zeros = batch.labels.filter((label) => label === 0).length;
          expect(engine.partialSum(fixture.weights, batch, new Float32Array(fixture.floats))).toBe(zeros);
          const { inputs, labels, out, width } = evaluationChunk(fixture);
          engine.predict(fixture.weights, inputs, labels, out);
          for (let row = 0; row < labels.length; row++) expect(out[row * width]).toBe(0);
        });
      });

      it('keeps no tensor over 200 calls', async () => {
        await withEngine({ hidden: [32] }, create, (fixture, engine) => {
          const { inputs, labels, out } = evaluationChunk(fixture);
          const batch = fixture.batch(1);
          const gradient = new Float32Array(fixture.floats);
          const call = () => {
            engine.partialSum(fixture.weights, batch, gradient);
            engine.predict(fixture.weights, inputs, labels, out);
          };
          call();
          const before = engine.tensorCount();
          for (let i = 0; i < 200; i++) call();
          expect(engine.tensorCount()).toBe(before);
        });
      });

      it('keeps no reference to what it was given or gave', async () => {
        await withEngine({ hidden: [32] }, create, (fixture, engine) => {
          const batch = fixture.batch(1);
          const first = gradientOf(fixture, engine, batch);
          const copy = first.slice();
          fixture.weights.fill(0.01);
          gradientOf(fixture, engine, batch);
          expect(bytesOf(first).equals(bytesOf(copy))).toBe(true);
        });
      });
    },
  );
}

async function withEngine(
  options: FixtureOptions,
  create: (fixture: Fixture) => Promise<Engine>,
  use: (fixture: Fixture, engine: Engine) => void,
): Promise<void> {
  const fixture = createFixture(options);
  const engine = await create(fixture);
  try {
    use(fixture, engine);
  } finally {
    engine.dispose();
  }
}

function gradientOf(fixture: Fixture, engine: Engine, batch: Batch): Float32Array {
  const out = new Float32Array(fixture.floats);
  engine.partialSum(fixture.weights, batch, out);
  return out;
}

function agreesWithFloat64(fixture: Fixture, engine: Engine, batch: Batch): void {
  const expected = new Float64Array(parameterCount(fixture.shape.model));
  const { loss, correct } = createFloat64Model(fixture.shape.model).gradient(
    fixture.weights,
    batch,
    expected,
  );
  const out = new Float32Array(fixture.floats).fill(NaN);
  expect(engine.partialSum(fixture.weights, batch, out)).toBe(correct);
  expect(Math.abs((out[expected.length] ?? NaN) - loss)).toBeLessThan(1e-5 * loss + 1e-12);
  expect(differenceOf(out.subarray(0, expected.length), expected)).toBeLessThan(1e-5);
}

/** The largest difference, relative to the largest expected value. */
function differenceOf(actual: Float32Array, expected: Float64Array): number {
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i] ?? 0));
    difference = Math.max(difference, Math.abs((actual[i] ?? NaN) - (expected[i] ?? 0)));
  }
  return difference / largest;
}

function scaled(batch: Batch, scale: number): Batch {
  return { ...batch, scale: batch.scale.map((value) => (value === 0 ? 0 : scale)) };
}

/** The engine's sum of a subtree must be the kernel's sum of its shards, each computed alone: what the wire does. */
function groupsAlike(fixture: Fixture, engine: Engine, batch: Batch): void {
  const { kernels, floats } = fixture;
  const sums = splitBatch(batch).map((shard) => gradientOf(fixture, engine, shard));
  const [into, from] = workspace(fixture);
  while (sums.length > 1) {
    for (let i = 0; i < sums.length; i++) {
      kernels.floats(into, floats).set(sums[i] ?? []);
      kernels.floats(from, floats).set(sums.splice(i + 1, 1)[0] ?? []);
      kernels.add(into, from, floats);
      sums[i] = kernels.floats(into, floats).slice();
    }
  }
  expect(bytesOf(gradientOf(fixture, engine, batch)).equals(bytesOf(sums[0] ?? new Float32Array(0)))).toBe(
    true,
  );
}

const workspaces = new WeakMap<Fixture, readonly [number, number]>();
function workspace(fixture: Fixture): readonly [number, number] {
  const known = workspaces.get(fixture);
  if (known !== undefined) return known;
  const made = [
    fixture.kernels.allocate(4 * fixture.floats),
    fixture.kernels.allocate(4 * fixture.floats),
  ] as const;
  workspaces.set(fixture, made);
  return made;
}

interface Chunk {
  readonly inputs: Float32Array;
  readonly labels: Int32Array;
  readonly out: Float32Array;
  readonly width: number;
}

/** A chunk whose last five rows are padding. */
function evaluationChunk({ shape, data }: Fixture): Chunk {
  const { evaluationRows, model } = shape;
  const inputs = Float32Array.from(
    data.images.subarray(0, evaluationRows * model.inputs),
    (pixel) => pixel / 255,
  );
  const labels = Int32Array.from(data.labels.subarray(0, evaluationRows));
  inputs.fill(0, (evaluationRows - 5) * model.inputs);
  labels.fill(-1, evaluationRows - 5);
  const width = 2 + model.classes;
  return { inputs, labels, out: new Float32Array(evaluationRows * width).fill(NaN), width };
}

function predictsAlike(fixture: Fixture, engine: Engine): void {
  const { inputs, labels, out, width } = evaluationChunk(fixture);
  const { classes } = fixture.shape.model;
  engine.predict(fixture.weights, inputs, labels, out);
  const float64 = createFloat64Model(fixture.shape.model);
  const expected = new Float64Array(classes);
  for (let row = 0; row < labels.length - 5; row++) {
    const logits = float64.logits(fixture.weights, inputs, row);
    const best = logits.indexOf(Math.max(...logits));
    softmax(logits, expected);
    const probabilities = out.subarray(row * width + 2, (row + 1) * width);
    expect(out[row * width]).toBe(best);
    expect(out[row * width + 1]).toBeCloseTo(crossEntropy(logits, labels[row] ?? -1), 4);
    expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 5);
    expect(differenceOf(probabilities, expected)).toBeLessThan(1e-5);
  }
  expect(out.every(Number.isFinite)).toBe(true);
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
