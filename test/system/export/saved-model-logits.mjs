// Computes the logits of SavedModels with TensorFlow, through TensorFlow.js for Node. Its arguments
// are the native binding and a JSON file with the cases of python-logits.py.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [binding = '', list = ''] = process.argv.slice(2);
const require = createRequire(import.meta.url);
// TensorFlow.js looks for its binding in its own folder.
const library = createRequire(require.resolve('@tensorflow/tfjs-node-gpu'));
const finder = library.resolve('@mapbox/node-pre-gyp');
require.cache[finder] = { exports: { find: () => binding } };
const tf = require('@tensorflow/tfjs-node-gpu');

for (const { file, images, rows, columns, logits } of JSON.parse(readFileSync(list, 'utf8'))) {
  const model = await tf.node.loadSavedModel(file, ['serve'], 'serving_default');
  // A copy, since a small file's buffer is part of a larger one.
  const values = new Float32Array(new Uint8Array(readFileSync(images)).buffer);
  const image = tf.tensor4d(values, [values.length / rows / columns, rows, columns, 1]);
  const outputs = model.predict({ image });
  writeFileSync(logits, new Uint8Array(outputs.logits.dataSync().buffer));
  const difference = outputs.probabilities.sub(outputs.logits.softmax()).abs().max().dataSync()[0];
  if (!(difference < 1e-5)) throw new Error(`the probabilities differ by ${difference}`);
  model.dispose();
}
