import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Chain, firstLink } from '../../../../shared/files/chain.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';

/** The hash of the documented bytes, which are written out by hand. */
function linkOf(previous: string, fields: string): string {
  return createHash('sha256')
    .update(Buffer.from(previous + fields, 'hex'))
    .digest('hex');
}

describe('the chain', () => {
  it('begins with the arithmetic version and the recipe', () => {
    const text =
      `arithmetic 2\n{"batch_size":32,"dataset":"${'ab'.repeat(32)}",` +
      '"learning_rate":0.001,"model":{"classes":10,"columns":28,"layers":[{"kind":"flatten"},' +
      '{"activation":"relu","kind":"dense","units":128},{"kind":"dropout","rate":0.2}],' +
      '"rows":28},' +
      '"optimizer":{"beta1":0.9,"beta2":0.999,"epsilon":1e-7,"kind":"adam"},' +
      '"schedule":{"kind":"constant"},"seed":1,"test_samples":10000,"train_samples":60000,' +
      '"virtual_shards":4,"warmup":0,"weight_decay":0}';
    expect(firstLink(configurationFixture)).toBe(createHash('sha256').update(text).digest('hex'));
    expect(firstLink({ ...configurationFixture, seed: 2 })).not.toBe(
      firstLink(configurationFixture),
    );
    // A run that is extended keeps its chain.
    expect(firstLink({ ...configurationFixture, epochs: 9, steps: 7 })).toBe(
      firstLink(configurationFixture),
    );
  });

  it('hashes the documented bytes', () => {
    const chain = new Chain('11'.repeat(32));
    // 1.5 is 0x3fc00000, -2 is 0xc0000000; all words little-endian.
    const first = chain.add({
      step: 1,
      samples: 32,
      loss: 1.5,
      correct: 3,
      weights: 0x0102030405060708n,
    });
    expect(first).toBe(
      linkOf(
        '11'.repeat(32),
        '01000000' + '20000000' + '0000c03f' + '03000000' + '0807060504030201',
      ),
    );
    const second = chain.add({
      step: 258,
      samples: 2 ** 31,
      loss: -2,
      correct: 65_536,
      weights: 0xffffffffffffffffn,
    });
    expect(second).toBe(
      linkOf(first, '02010000' + '00000080' + '000000c0' + '00000100' + 'ffffffffffffffff'),
    );
    expect(chain.link).toBe(second);
  });

  it('resumes from a link with the same result', () => {
    const steps = [1, 2, 3, 4].map((step) => ({
      step,
      samples: 8,
      loss: 1 / step,
      correct: step,
      weights: BigInt(step),
    }));
    const whole = new Chain(firstLink(configurationFixture));
    const links = steps.map((step) => whole.add(step));
    const resumed = new Chain(links[1] ?? '');
    expect(steps.slice(2).map((step) => resumed.add(step))).toEqual(links.slice(2));
  });
});
