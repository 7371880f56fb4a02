import { ensureTensorFlow } from '../../worker/native/ensure.ts';
import type { SetupOptions } from '../options/options.ts';
import { stderr, stdout } from '../terminal/output.ts';
import { setupProgress } from '../terminal/setup-progress.ts';

/** `mnist-dist setup`: prepares the TensorFlow engine and prints its path. Throws SETUP. */
export async function setup({ tensorflow, gpu, cpu, offline }: SetupOptions): Promise<number> {
  const device = gpu ? 'gpu' : cpu ? 'cpu' : undefined;
  const progress = setupProgress(stderr);
  const native = await ensureTensorFlow(
    { tensorflow, device, offline, isTested: true },
    progress.report,
  ).finally(progress.end);
  stdout.write(`TensorFlow ${native.version} (${native.device}): ${native.library}`);
  return 0;
}
