import { describe, expect, it } from 'vitest';
import { firstLink } from '../../../../shared/files/chain.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import { encodeModel, readModel } from '../../../../shared/files/model-file.ts';
import { parameterCount } from '../../../../shared/arithmetic/model-shape.ts';
import { decodeTensors, encodeTensors } from '../../../../shared/files/safetensors.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';

const weights = Float32Array.from(
  { length: parameterCount(configurationFixture.model) },
  (_, i) => i / 7,
);
const model = {
  configuration: configurationFixture,
  step: 12,
  chain: firstLink(configurationFixture),
  weights,
};

describe('a model file', () => {
  it('can be read without any other file', () => {
    expect(readModel(encodeModel(model), 'm')).toEqual(model);
  });

  it('contains the same model for any order of its tensors', () => {
    const { metadata, tensors } = decodeTensors(encodeModel(model), 'm');
    const byName = tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1));
    expect(byName).not.toEqual(tensors);
    const { weights: read, ...rest } = readModel(encodeTensors({ metadata, tensors: byName }), 'm');
    expect(Buffer.from(read.buffer).equals(Buffer.from(weights.buffer))).toBe(true);
    expect({ ...rest, weights }).toEqual(model);
  });

  it.each([
    ['a tensor is missing', (names: readonly string[]) => names.slice(1)],
    [
      'a tensor has a different name',
      ([first = '', ...names]: readonly string[]) => [`${first}s`, ...names],
    ],
  ])('is rejected if %s', (_what, change) => {
    const { metadata, tensors } = decodeTensors(encodeModel(model), 'm');
    const names = change(tensors.map(({ name }) => name));
    const changed = tensors
      .slice(-names.length)
      .map((tensor, i) => ({ ...tensor, name: names[i] ?? '' }));
    expect(() => readModel(encodeTensors({ metadata, tensors: changed }), 'm')).toThrow(
      'does not have the tensors',
    );
  });

  it.each([
    ['configuration', '{}'],
    ['configuration', 'not JSON'],
    ['configuration', undefined],
    ['step', '-1'],
    ['step', undefined],
    ['chain', 'abc'],
  ])('is rejected, with its name, if its %s is %s', (key, value) => {
    const { metadata, tensors } = decodeTensors(encodeModel(model), 'm');
    const { [key]: _, ...others } = metadata;
    const changed = encodeTensors({
      tensors,
      metadata: { ...others, ...(value === undefined ? {} : { [key]: value }) },
    });
    expect(() => readModel(changed, 'some/file')).toThrow(
      expect.toSatisfy(
        (error: unknown) =>
          error instanceof ClusterError &&
          error.code === 'DATA' &&
          error.message.includes('some/file'),
      ),
    );
  });
});
