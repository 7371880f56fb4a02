import { INPUT, jsonBytes, parametersOf, type ExportedModel } from './exported-model.ts';
import { encodeHdf5, type Hdf5Group } from './hdf5.ts';
import { kerasLayers } from './keras-layers.ts';
import { zipped } from './zip-file.ts';

/** The first version of Keras with this format for all of these layers. */
const KERAS_VERSION = '3.0.0';

/** A .keras file of Keras 3: an archive of the model as JSON, metadata and weights in HDF5. */
export function kerasFile({ model, weights, metadata }: ExportedModel): Uint8Array {
  const { rows, columns } = model;
  const images = [null, rows, columns, 1];
  const layers = kerasLayers(model);
  const config = keras('keras', 'Sequential', {
    name: 'mnist_dist',
    trainable: true,
    layers: [
      keras('keras.layers', 'InputLayer', { batch_shape: images, dtype: 'float32', name: INPUT }),
      ...layers.map(({ className, config: own }) =>
        keras('keras.layers', className, { dtype: 'float32', ...own }),
      ),
    ],
    build_input_shape: images,
  });
  const counts = new Map<string, number>();
  const groups: Record<string, Hdf5Group> = {};
  for (const { className, operation } of layers) {
    // Keras numbers the layers of each class, and does not use their names.
    const kind = className.toLowerCase();
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    if (operation === undefined) continue;
    const { kernel, bias } = parametersOf(operation, weights);
    groups[count === 0 ? kind : `${kind}_${count}`] = { vars: { 0: kernel, 1: bias } };
  }
  return zipped([
    {
      name: 'metadata.json',
      // Keras only shows the version and the date. A date would make each file different.
      bytes: jsonBytes({ keras_version: KERAS_VERSION, date_saved: '', mnist_dist: metadata }),
    },
    { name: 'config.json', bytes: jsonBytes(config) },
    { name: 'model.weights.h5', bytes: encodeHdf5({ layers: groups }) },
  ]);
}

/** An object as Keras serializes it. */
function keras(module: string, class_name: string, config: object): object {
  return { module, class_name, config, registered_name: null };
}
