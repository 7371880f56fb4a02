// Trains a model, prints each evaluation, and stops with a checkpoint on Ctrl-C.
// Run it with: node docs/examples/train.mjs 200
import { evaluate, MnistDistError, train } from 'mnist-dist';

const stopping = new AbortController();
process.once('SIGINT', () => stopping.abort());

try {
  const training = train({
    steps: Number(process.argv[2] ?? 200),
    batchSize: 64,
    nprocPerNode: 2,
    signal: stopping.signal,
  });
  let loss = 0;
  for await (const event of training) {
    if (event.kind === 'step') loss = event.loss;
    else console.log(`step ${event.step}: loss ${loss.toFixed(3)}, ${event.set} ${event.accuracy}`);
  }
  const { directory, modelFile, test } = await training;
  const evaluation = await evaluate(modelFile, { nprocPerNode: 1 });
  console.log(`${directory}: accuracy ${test.accuracy}, evaluated again: ${evaluation.accuracy}`);
} catch (error) {
  if (!(error instanceof MnistDistError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  if (error.fix !== undefined) console.error(`  ${error.fix}`);
  process.exitCode = error.exitCode;
}
