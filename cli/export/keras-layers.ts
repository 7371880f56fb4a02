import {
  convert,
  type Convolution,
  type Dense,
  type Layer,
  type ModelShape,
} from '../../shared/arithmetic/model-shape.ts';
import { LOGITS, PROBABILITIES } from './exported-model.ts';

/** A layer in the terms of Keras, which TensorFlow.js shares. */
export interface KerasLayer {
  readonly className: string;
  /** Unique in the model. */
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Undefined for a layer without parameters. */
  readonly operation: Convolution | Dense | undefined;
}

const classNames: Readonly<Record<Layer['kind'], string>> = {
  conv2d: 'Conv2D',
  max_pooling2d: 'MaxPooling2D',
  average_pooling2d: 'AveragePooling2D',
  flatten: 'Flatten',
  dense: 'Dense',
  dropout: 'Dropout',
};

/**
 * All layers of a model: that of the logits has their name, and a last one computes the
 * probabilities.
 */
export function kerasLayers(model: ModelShape): KerasLayer[] {
  const layers = convert(model).map(({ layer, operation }, at): KerasLayer => {
    const name = at === model.layers.length ? LOGITS : `${layer.kind}_${at}`;
    return {
      className: classNames[layer.kind],
      name,
      config: { name, ...configOf(layer) },
      operation: operation !== undefined && 'kernelOffset' in operation ? operation : undefined,
    };
  });
  const softmax = { name: PROBABILITIES, activation: 'softmax' };
  return [
    ...layers,
    { className: 'Activation', name: PROBABILITIES, config: softmax, operation: undefined },
  ];
}

/** The settings are explicit, since a user can change some of Keras' defaults. */
function configOf(layer: Layer): Readonly<Record<string, unknown>> {
  const data_format = 'channels_last';
  switch (layer.kind) {
    case 'conv2d': {
      const { filters, kernel, strides, padding, activation } = layer;
      return { filters, kernel_size: kernel, strides, padding, data_format, activation };
    }
    case 'max_pooling2d':
    case 'average_pooling2d': {
      const { pool, strides, padding } = layer;
      return { pool_size: pool, strides, padding, data_format };
    }
    case 'flatten':
      return { data_format };
    case 'dense':
      return { units: layer.units, activation: layer.activation };
    case 'dropout':
      return { rate: layer.rate };
  }
}
