import { describe, expect, it } from 'vitest';
import { createEngine } from '../../../../worker/engines/create.ts';
import { describeDevice } from '../../../../worker/engines/device.ts';
import { createFixture } from '../../../fixtures/engine/engine-cases.ts';

describe("an engine's device", () => {
  it.each(['reference', 'wasm'] as const)('cannot be a GPU for %s', async (kind) => {
    const { shape, kernels } = createFixture({ hidden: [8] });
    const creating = createEngine(kind, shape, kernels, { threads: 1, device: 'cuda:1' });
    await expect(creating).rejects.toThrow(
      `the engine "${kind}" cannot run on the device "cuda:1"`,
    );
  });

  it('is the one that TensorFlow registered', () => {
    expect(describeDevice('auto', false)).toBe('cpu');
    expect(describeDevice('cpu', false)).toBe('cpu');
    expect(describeDevice('cuda:2', true)).toMatch(/^cuda:2/);
    expect(describeDevice('auto', true)).toMatch(/^cuda:/);
  });

  it('is rejected when TensorFlow registered a different one', () => {
    expect(() => describeDevice('cuda:0', false)).toThrow('does not register the device "cuda:0"');
    expect(() => describeDevice('cpu', true)).toThrow(
      'registers a GPU although the device is "cpu"',
    );
  });
});
