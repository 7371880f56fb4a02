import { refuseDevice } from '../../worker/engines/device.ts';
import { noGpus } from '../../worker/native/usable-gpus.ts';
import type { WorkerOptions } from '../options/options.ts';
import type { Log } from '../terminal/log.ts';
import type { EngineChoice } from './tensorflow-choice.ts';

/**
 * Chooses the engine, and sets up TensorFlow if it is missing. If that fails with `auto`, chooses
 * wasm and logs a warning that gives the cause. Rejects with ENGINE, before anything is set up, if
 * a requested GPU is missing or the engine cannot use it.
 */
export async function chooseEngine(
  { engine, device }: Pick<WorkerOptions, 'engine' | 'device'>,
  log: Log,
): Promise<EngineChoice> {
  if (engine === 'wasm' || engine === 'reference') {
    refuseDevice(engine, device);
    return { engine, gpus: noGpus };
  }
  const { chooseTensorFlow } = await import('./tensorflow-choice.ts');
  return await chooseTensorFlow({ engine, device }, log);
}
