import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../../cli/models/parse-model.ts';
import { everyLayerModel } from '../../../fixtures/engine/models.ts';

const text = `# every kind of layer
- dropout: {rate: 0.1}
- conv2d: {filters: 5, kernel_size: [3, 2], padding: same, activation: relu}
- max_pooling2d: {pool_size: [3, 2], strides: [2, 1], padding: same}
- dropout:
    rate: 0.25
- conv2d: {filters: 6, kernel_size: [2, 3], strides: [1, 2]}
- average_pooling2d: {pool_size: 3, strides: 2, padding: same}
- flatten
- dense: {units: 13, activation: relu}
- dropout: {rate: 5e-1}
- dense: {units: 7}
`;

describe('a model file', () => {
  it('is a list of layers with the settings of Keras', () => {
    const { layers, lines } = parseModel(text, 'm.yaml');
    expect(layers).toEqual(everyLayerModel.layers);
    expect(lines).toEqual([2, 3, 4, 5, 7, 8, 9, 10, 11, 12]);
  });

  it("has Keras' defaults", () => {
    const { layers } = parseModel('- conv2d: {filters: 2, kernel_size: 3}\n- max_pooling2d\n', 'm');
    expect(layers).toEqual([
      {
        kind: 'conv2d',
        filters: 2,
        kernel: [3, 3],
        strides: [1, 1],
        padding: 'valid',
        activation: 'linear',
      },
      { kind: 'max_pooling2d', pool: [2, 2], strides: [2, 2], padding: 'valid' },
    ]);
  });

  it.each([
    ['a: 1', 'm:1: not a list of layers', '- conv2d:'],
    ['', 'm:1: not a list of layers', '- conv2d:'],
    ['- flatten\n# a\0b\n- dense: {units: 3}', 'm:2: a NUL character', 'UTF-8'],
    [
      '- flatten\n- conv3d: {}',
      'm:2: layer 2: the layer "conv3d" is unknown',
      'did you mean conv2d?',
    ],
    ['- MaxPooling2D', 'm:1: layer 1', 'did you mean max_pooling2d?'],
    ['- linear: {units: 3}', 'm:1: layer 1', 'did you mean dense?'],
    ['- dense:\n    unit: 3', 'm:2: layer 1 (dense) has no setting "unit"', 'did you mean units?'],
    ['- conv2d: {filters: 3, kernel: 3}', 'no setting "kernel"', 'did you mean kernel_size?'],
    ['- flatten: {units: 3}', 'no setting "units"', 'it has no settings'],
    ['- dense', 'm:1: layer 1 (dense) has no units', 'units: 128'],
    ['- flatten\n- dense: {units}', 'm:2: layer 2 (dense) has no units', 'units: 128'],
    ['- dropout:\n    rate:', 'm:2: layer 1 (dropout) has no rate', 'rate: 0.5'],
    ['- conv2d: {filters: 3, kernel_size: null}', 'm:1: layer 1 (conv2d) has no kernel_size', '3'],
    ['- dropout: 0.5', 'm:1: layer 1 (dropout) has a value instead of settings', 'rate'],
    ['- dropout:\n    rate: 1', 'm:2: layer 1 (dropout): rate 1 is not allowed', 'below 1'],
    ['- dense: {units: 0}', 'units 0', 'from 1 to 65536'],
    ['- dense: {units: "3"}', 'units 3', 'a whole number'],
    ['- dense: {units: 1.5}', 'units 1.5', 'a whole number'],
    ['- conv2d: {filters: 5000, kernel_size: 3}', 'filters 5000', '4096'],
    [
      '- conv2d: {filters: 5, kernel_size: [3]}',
      'kernel_size (a list or a map)',
      '[height, width]',
    ],
    ['- conv2d: {filters: 5, kernel_size: [3, 3, 3]}', 'kernel_size', '[height, width]'],
    ['- conv2d: {filters: 5, kernel_size: 300}', 'kernel_size 300', '256'],
    ['- conv2d: {filters: 5, kernel_size: 3, padding: sam}', 'padding sam', 'did you mean same?'],
    [
      '- conv2d: {filters: 5, kernel_size: 3, activation: tanh}',
      'activation tanh',
      'linear or relu',
    ],
    ['- dense: {units: 1, units: 2}', 'm:1: duplicate key', ''],
    ['- &a dense: {units: 1}\n- *a', 'm:2: layer 2 is an alias', ''],
    ['- dense: &a {units: 1}\n- dense: *a', 'm:2: layer 2 (dense) has a value', ''],
    ['- dense: {units: &a 1}\n- dense: {units: *a}', 'units *a (an alias)', ''],
    ['- dense: {units: 1}\n  flatten: {}', 'layer 1 has 2 names', ''],
    ['- [dense]', 'layer 1 is an alias, a list', ''],
    ['- dense: {units: 1}\n---\n- flatten', 'm:', ''],
    [Array(65).fill('- flatten').join('\n'), 'm:65: 65 layers', 'at most 64'],
  ])('%j is rejected', (wrong, message, fix) => {
    expect(() => parseModel(wrong, 'm')).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: expect.stringContaining(message),
        fix: expect.stringContaining(fix),
      }),
    );
  });
});
