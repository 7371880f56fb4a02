import { createWasmEngine } from './wasm.ts';

/**
 * Predicts with a very small model. Resolves with the name and version of the library; rejects if
 * this fails.
 */
export async function tryWasm(): Promise<string> {
  const model = { inputs: 4, hidden: [2], classes: 2 };
  const shape = { model, rowsPerShard: 1, shardCounts: [1], hasDropout: false, evaluationRows: 1 };
  const engine = await createWasmEngine(shape);
  const out = new Float32Array(4);
  engine.predict(new Float32Array(16), new Float32Array(4), new Int32Array(1), out);
  engine.dispose();
  // All weights are zero, so both classes are equally likely.
  if (out[2] !== 0.5 || out[3] !== 0.5)
    throw new Error(`it predicts ${out.join()}, not 0,..,0.5,0.5`);
  return engine.description.library;
}
