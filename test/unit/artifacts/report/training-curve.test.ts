import { describe, expect, it } from 'vitest';
import { light } from '../../../../artifacts/report/colours.ts';
import { curveSvg, type Quantity } from '../../../../artifacts/report/curve-picture.ts';
import { trainingCurve as curveOf } from '../../../../artifacts/report/training-curve.ts';
import { MAX_DRAWN_EVALUATIONS, MAX_DRAWN_POINTS } from '../../../../shared/limits.ts';
import type { MetricsLine } from '../../../../shared/files/metrics.ts';
import { madeUpMetrics } from '../../../fixtures/evaluation.ts';
import { layerOf, linesOf, textsOf, valueLabels } from '../../../fixtures/svg.ts';

const trainingCurve = (lines: readonly MetricsLine[]) => curveOf(() => lines);
const draw = (lines: readonly MetricsLine[], quantity: Quantity) =>
  curveSvg(trainingCurve(lines), quantity, light, undefined);
const total = (lines: readonly MetricsLine[], of: (line: MetricsLine) => number) =>
  lines.reduce((sum, line) => sum + of(line), 0);

describe('trainingCurve', () => {
  it('reduces the steps to a bounded number of means without leaving out a sample', () => {
    const lines = madeUpMetrics(5, 1875);
    const { training, stepsPerPoint, steps, set, evaluations } = trainingCurve(lines);
    expect(training.length).toBeLessThanOrEqual(MAX_DRAWN_POINTS);
    expect([steps, stepsPerPoint, training.at(-1)?.step]).toEqual([9375, 19, 9375]);
    const train = lines.filter(({ kind }) => kind === 'step');
    for (const [index, point] of training.entries()) {
      const own = train.slice(19 * index, 19 * index + 19);
      const samples = total(own, (line) => line.samples);
      expect(point.step).toBe(own.at(-1)?.step);
      expect(point.loss).toBeCloseTo(total(own, ({ loss, samples: n }) => loss * n) / samples, 12);
      expect(point.accuracy).toBe(total(own, ({ correct }) => correct) / samples);
    }
    expect(set).toBe('test');
    expect(evaluations.map(({ step, epoch, accuracy }) => [step, epoch, accuracy])).toEqual(
      [1, 2, 3, 4, 5].map((epoch) => [epoch * 1875, epoch, (300 + epoch) / 400]),
    );
  });

  it('weights a short last batch by its samples', () => {
    const lines = madeUpMetrics(1, MAX_DRAWN_POINTS + 1).map((line, index) =>
      index === 1 ? { ...line, samples: 8, correct: 0, loss: 100 } : line,
    );
    const [first, second] = lines;
    const [point] = trainingCurve(lines).training;
    expect(point?.loss).toBeCloseTo((32 * (first?.loss ?? 0) + 8 * (second?.loss ?? 0)) / 40, 12);
    expect(point?.accuracy).toBe((first?.correct ?? 0) / 40);
  });

  it('smooths without lag: a straight line stays the same, and jumps become smaller', () => {
    const straight = madeUpMetrics(1, 400).map((line, index) => ({
      ...line,
      loss: 10 - index / 100,
    }));
    const { training, smooth } = trainingCurve(straight.slice(0, -1));
    smooth.forEach(({ loss }, index) => expect(loss).toBeCloseTo(training[index]?.loss ?? NaN, 9));
    const jumping = straight.map((line, index) => ({ ...line, loss: index % 2 }));
    const middle = trainingCurve(jumping).smooth.slice(50, -50);
    for (const { loss } of middle) expect(Math.abs(loss - 0.5)).toBeLessThan(0.05);
  });

  it('keeps the last of very many evaluations', () => {
    const { evaluations } = trainingCurve(madeUpMetrics(1000, 1));
    expect(evaluations.length).toBeLessThanOrEqual(MAX_DRAWN_EVALUATIONS);
    expect(evaluations.at(-1)?.epoch).toBe(1000);
  });

  it('shows the validation set, and not the test at the end, of a run that has one', () => {
    const lines = madeUpMetrics(3, 100).map((line) =>
      line.kind === 'evaluation' ? { ...line, set: 'validation' as const } : line,
    );
    const last = lines.at(-1);
    if (last?.kind !== 'evaluation') throw new Error('the run ends with an evaluation');
    const { set, evaluations } = trainingCurve([...lines, { ...last, set: 'test' }]);
    expect(set).toBe('validation');
    expect(evaluations.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
  });
});

describe('the curves', () => {
  it.each(['loss', 'accuracy'] as const)(
    'draw the %s that metrics.jsonl records',
    async (quantity) => {
      const lines = madeUpMetrics(3, 100);
      const svg = await draw(lines, quantity);
      const value = scaleOf(svg, quantity);
      const expected = lines
        .filter(({ kind }) => kind === 'step')
        .map(({ step, loss, correct, samples }) => [
          step,
          quantity === 'loss' ? loss : correct / samples,
        ]);
      const drawn = linesOf(layerOf(svg, 'training')).flat();
      const seen = drawn.map(([x, y]) => [Math.round((x / 560) * 300), value(y)] as const);
      expect(seen.length).toBeGreaterThan(200);
      for (const [, y] of drawn) expect(y).toBeGreaterThanOrEqual(0);
      for (const [, y] of drawn) expect(y).toBeLessThanOrEqual(260);
      const missing = new Map(expected.map(([step = 0, each = 0]) => [step, each]));
      for (const [step, each] of seen) {
        expect(each / (missing.get(step) ?? NaN)).toBeCloseTo(1, 4);
        missing.delete(step);
      }
      // Values that are not drawn lie beyond the axis.
      for (const each of missing.values()) expect(each).toBeLessThan(value(260));
      const points = linesOf(layerOf(svg, 'evaluation')).flat();
      const evaluations = lines.filter(({ kind }) => kind === 'evaluation');
      expect(points).toHaveLength(evaluations.length);
      for (const [index, { loss, correct, samples }] of evaluations.entries())
        expect(value(points[index]?.[1] ?? NaN)).toBeCloseTo(
          quantity === 'loss' ? loss : correct / samples,
          4,
        );
    },
  );

  it('omit a loss of zero, which has no logarithm, and draw all others', async () => {
    const lines = madeUpMetrics(1, 30).map((line, index) =>
      index === 9 ? { ...line, loss: 0 } : line,
    );
    const svg = await draw(lines, 'loss');
    expect(linesOf(layerOf(svg, 'training')).map((part) => part.length)).toEqual([9, 20]);
    expect(valueLabels(svg).length).toBeGreaterThan(1);
  });

  it('draw a run of one step or of none, and a loss of zero', async () => {
    const [step] = madeUpMetrics(1, 1);
    for (const lines of [madeUpMetrics(1, 1), [], step ? [{ ...step, loss: 0 }] : []]) {
      for (const quantity of ['loss', 'accuracy'] as const) {
        const svg = await draw(lines, quantity);
        expect(svg).not.toMatch(/NaN|Infinity|undefined/);
      }
    }
    expect(await draw(madeUpMetrics(1, 1), 'loss')).toMatch(
      /layer_0_layer_1_marks"[^>]*><path[^>]* fill="#b3d4e7"/,
    );
  });

  it('say over how many steps each value is averaged', async () => {
    expect(textsOf(await draw(madeUpMetrics(2, 600), 'loss'))).toContain(
      'training, mean of 3 steps',
    );
    expect(textsOf(await draw(madeUpMetrics(2, 10), 'loss'))).toContain('training, per step');
  });
});

/** The distance from a line down to the base of its label. */
const LABEL_OFFSET = 4;

/** Converts pixels to values, using two labels of the axis. */
function scaleOf(svg: string, quantity: Quantity): (y: number) => number {
  const [[one, y1] = ['', NaN], [two, y2] = ['', NaN]] = valueLabels(svg);
  const [a, b] = [parseFloat(one), parseFloat(two)].map((each) =>
    quantity === 'loss' ? Math.log(each) : each / 100,
  );
  return (y) => {
    const at = (a ?? NaN) + (((b ?? NaN) - (a ?? NaN)) * (y + LABEL_OFFSET - y1)) / (y2 - y1);
    return quantity === 'loss' ? Math.exp(at) : at;
  };
}
