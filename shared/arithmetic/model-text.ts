import {
  denseSettings,
  inputCount,
  type Layer,
  type ModelShape,
  type Size,
} from './model-shape.ts';

/** A model in a few words: "784 - 128 - 10", or "conv2d 32 3x3 - ... - dense 10". */
export function modelText(model: ModelShape): string {
  const dense = denseSettings(model);
  return dense === undefined
    ? [...model.layers.map(layerText), `dense ${model.classes}`].join(' - ')
    : [inputCount(model), ...dense.hidden, model.classes].join(' - ');
}

/** The rows that describe a model in a table of settings. */
export function modelRows(model: ModelShape): (readonly [name: string, value: string])[] {
  const dropout = denseSettings(model)?.dropout ?? 0;
  const layers = ['layers', modelText(model)] as const;
  return dropout === 0 ? [layers] : [layers, ['dropout', String(dropout)]];
}

/** A layer in a few words, with only the settings that are not Keras' defaults. */
export function layerText(layer: Layer): string {
  switch (layer.kind) {
    case 'flatten':
      return 'flatten';
    case 'dropout':
      return `dropout ${layer.rate}`;
    case 'dense':
      return words('dense', layer.units, layer.activation === 'relu' ? 'relu' : '');
    case 'conv2d': {
      const { filters, kernel, strides, padding, activation } = layer;
      return words(
        'conv2d',
        filters,
        size(kernel),
        isSame(strides, [1, 1]) ? '' : `strides ${size(strides)}`,
        padding === 'same' ? 'same' : '',
        activation === 'relu' ? 'relu' : '',
      );
    }
    case 'max_pooling2d':
    case 'average_pooling2d': {
      const { pool, strides, padding } = layer;
      return words(
        layer.kind,
        size(pool),
        isSame(strides, pool) ? '' : `strides ${size(strides)}`,
        padding === 'same' ? 'same' : '',
      );
    }
  }
}

function words(...parts: readonly (string | number)[]): string {
  return parts.filter((part) => part !== '').join(' ');
}

function size([height, width]: Size): string {
  return `${height}x${width}`;
}

function isSame([a, b]: Size, [c, d]: Size): boolean {
  return a === c && b === d;
}
