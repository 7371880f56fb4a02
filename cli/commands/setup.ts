import { ensureTensorFlow } from '../../worker/native/ensure.ts';
import { stderr, stdout } from '../terminal/output.ts';
import { setupProgress } from '../terminal/setup-progress.ts';

export interface SetupCommand {
  readonly tensorflow?: string | undefined;
  /** At most one of the two; with neither, the machine is looked at. */
  readonly gpu: boolean;
  readonly cpu: boolean;
  readonly offline: boolean;
}

/**
 * `mnist-dist setup`: prepares the TensorFlow engine and says where it lies. Throws SETUP; resolves
 * with 0.
 */
export async function setup({ tensorflow, gpu, cpu, offline }: SetupCommand): Promise<number> {
  const device = gpu ? 'gpu' : cpu ? 'cpu' : undefined;
  const progress = setupProgress(stderr);
  const native = await ensureTensorFlow({ tensorflow, device, offline }, progress.report).finally(
    progress.end,
  );
  stdout.write(`TensorFlow ${native.version} (${native.device}): ${native.library}`);
  return 0;
}
