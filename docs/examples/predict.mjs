// Loads the newest model in the folder runs, and classifies PNG and JPEG files, or one of its own
// making. Run it with: node docs/examples/predict.mjs digit.png
import { loadModel, predict } from 'mnist-dist';

const files = process.argv.slice(2);
const model = await loadModel();
console.log(`${model.name}, step ${model.step}: ${model.rows} x ${model.columns} pixels`);
for (const { file, className, probabilities, predicted } of await predict(files))
  console.log(`${file}: ${className} (${probabilities[predicted]})`);

// A vertical line, as pixels from 0 (background) to 1.
const pixels = Array.from({ length: model.rows * model.columns }, (_, i) => {
  const [row, column] = [Math.floor(i / model.columns), i % model.columns];
  return row > 5 && row < 22 && column > 12 && column < 15 ? 1 : 0;
});
console.log(`a vertical line: ${model.predict(pixels).className}`);
