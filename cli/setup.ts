import { ensureTensorFlow } from '../worker/native/ensure.ts';
import { progressReport } from '../worker/native/report.ts';

export interface SetupCommand {
  readonly tensorflow?: string | undefined;
  readonly device?: 'gpu' | 'cpu' | undefined;
  readonly offline: boolean;
}

/** `mnist-dist setup`: prepares the TensorFlow engine and says where it lies. Throws SETUP; returns the exit code. */
export async function setup(options: SetupCommand): Promise<number> {
  const { report, end } = progressReport(process.stderr);
  try {
    const native = await ensureTensorFlow(options, report);
    end();
    process.stdout.write(`TensorFlow ${native.version} (${native.device}): ${native.library}\n`);
    return 0;
  } finally {
    end();
  }
}
