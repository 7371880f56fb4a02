import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  metricsLineSchema,
  MetricsFormatter,
  readMetrics,
} from '../../../../shared/files/metrics.ts';

const step = {
  step: 1,
  epoch: 1,
  samples: 32,
  loss: 2.25,
  correct: 3,
  milliseconds: 0.98765,
  weights: 0xabcn,
  chain: 'cd'.repeat(32),
};

/** The lines of a short run. */
function someText(): string {
  const formatter = new MetricsFormatter();
  return (
    formatter.step(step) +
    formatter.step({ ...step, step: 2 }) +
    formatter.evaluation({ set: 'test', step: 2, epoch: 1, samples: 10, loss: 0.125, correct: 9 }) +
    formatter.step({ ...step, step: 3, epoch: 2 })
  );
}

describe('metrics lines', () => {
  it('have the documented bytes', () => {
    const open =
      '{"kind":"step","step":1,"epoch":1,"samples":32,"loss":2.25,"correct":3,' +
      `"milliseconds":0.988,"weights":"0000000000000abc","chain":"${'cd'.repeat(32)}"`;
    const digest = createHash('sha256')
      .update(`${'0'.repeat(16)}${open}}`)
      .digest('hex')
      .slice(0, 16);
    expect(new MetricsFormatter().step(step)).toBe(`${open},"digest":"${digest}"}\n`);
  });

  it('are read as they were written, for any numbers', () => {
    const float = fc.float({ noNaN: true, noDefaultInfinity: true });
    const count = fc.integer({ min: 1, max: 2 ** 31 });
    const arbitrary = fc.record({
      step: count,
      epoch: count,
      samples: count,
      loss: float,
      correct: count,
      weights: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      milliseconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
      chain: fc.constant('ef'.repeat(32)),
    });
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 5 }), (steps) => {
        const formatter = new MetricsFormatter();
        const { lines, bad, torn } = readMetrics(
          steps.map((each) => formatter.step(each)).join(''),
        );
        expect({ bad, torn }).toEqual({ bad: undefined, torn: false });
        expect(lines.map(({ loss }) => loss + 0)).toEqual(steps.map(({ loss }) => loss + 0));
        const weights = lines.map((line) =>
          line.kind === 'step' ? BigInt(`0x${line.weights}`) : undefined,
        );
        expect(weights).toEqual(steps.map((each) => each.weights));
      }),
    );
  });

  it('continue after a given digest', () => {
    const { lines } = readMetrics(someText());
    const first = new MetricsFormatter().step(step);
    const rest = new MetricsFormatter(lines[0]?.digest).step({ ...step, step: 2 });
    expect(someText().startsWith(first + rest)).toBe(true);
  });

  it('cannot contain a loss that is not finite', () => {
    expect(() => new MetricsFormatter().step({ ...step, loss: Number.NaN })).toThrow('finite');
  });
});

describe('readMetrics', () => {
  it('finds at most one torn line for any truncation of the file', () => {
    const text = someText();
    for (let length = 0; length <= text.length; length++) {
      const cut = text.slice(0, length);
      const whole = cut.lastIndexOf('\n') + 1;
      const { lines, torn, bad, wholeBytes } = readMetrics(cut);
      expect({ torn, bad, wholeBytes }).toEqual({
        torn: whole < length,
        bad: undefined,
        wholeBytes: whole,
      });
      expect(lines).toHaveLength(cut.split('\n').length - 1);
    }
  });

  it('finds every changed byte in a complete line', () => {
    const text = someText();
    for (let at = 0; at < text.length; at++) {
      if (text[at] === '\n') continue;
      const changed = text.slice(0, at) + (text[at] === '7' ? '8' : '7') + text.slice(at + 1);
      const { bad, lines } = readMetrics(changed);
      const line = text.slice(0, at).split('\n').length;
      expect(bad?.line).toBe(line);
      expect(lines).toHaveLength(line - 1);
    }
  });

  it('finds missing, repeated and swapped lines', () => {
    const [a = '', b = '', c = '', d = ''] = someText().split(/(?<=\n)/);
    expect(readMetrics(a + c + d).bad?.line).toBe(2);
    expect(readMetrics(a + b + b + c).bad?.line).toBe(3);
    expect(readMetrics(b + a).bad?.line).toBe(1);
    expect(readMetrics(`${a}\n${b}`).bad?.line).toBe(2);
  });

  it('rejects a line of a different form, even with the right digest', () => {
    const open = '{"kind":"step","step":"x"';
    const digest = createHash('sha256')
      .update(`${'0'.repeat(16)}${open}}`)
      .digest('hex')
      .slice(0, 16);
    expect(readMetrics(`${open},"digest":"${digest}"}\n`).bad).toMatchObject({ line: 1 });
    expect(metricsLineSchema.safeParse({ kind: 'other' }).success).toBe(false);
  });
});
