import {
  bytesOf,
  INPUT,
  jsonBytes,
  parametersOf,
  type ExportedFile,
  type ExportedModel,
} from './exported-model.ts';
import { kerasLayers } from './keras-layers.ts';

const WEIGHTS = 'weights.bin';

/** A layers model of TensorFlow.js: its topology as JSON, and its weights in one file. */
export function tfjsFiles({ model, weights, metadata }: ExportedModel): ExportedFile[] {
  const { rows, columns } = model;
  const layers = kerasLayers(model);
  const tensors = layers.flatMap(({ name, operation }) => {
    if (operation === undefined) return [];
    const { kernel, bias } = parametersOf(operation, weights);
    return [
      { name: `${name}/kernel`, ...kernel },
      { name: `${name}/bias`, ...bias },
    ];
  });
  const input = { batch_input_shape: [null, rows, columns, 1], dtype: 'float32', name: INPUT };
  const document = {
    format: 'layers-model',
    generatedBy: 'mnist-dist',
    convertedBy: null,
    modelTopology: {
      class_name: 'Sequential',
      config: {
        name: 'mnist_dist',
        layers: [
          { class_name: 'InputLayer', config: input },
          ...layers.map(({ className, config }) => ({ class_name: className, config })),
        ],
      },
      backend: 'tensor_flow.js',
    },
    weightsManifest: [
      {
        paths: [WEIGHTS],
        weights: tensors.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
      },
    ],
    userDefinedMetadata: metadata,
  };
  return [
    { name: 'model.json', bytes: jsonBytes(document) },
    { name: WEIGHTS, bytes: Buffer.concat(tensors.map(bytesOf)) },
  ];
}
