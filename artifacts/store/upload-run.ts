import { ClusterError } from '../../shared/errors.ts';
import { shellPath, shellWord } from '../../shared/shell-word.ts';
import { parseStoreUri } from './store-address.ts';
import { pushRun, type Pushed } from './push.ts';
import type { Patience } from './retry.ts';
import type { OnProgress } from './transfer-progress.ts';

/**
 * `pushRun` for whoever has just finished a run: a failure also says that the run lies whole in its
 * directory, and with which command the rest is sent later. Its code is the failure's own.
 */
export async function keepRun(
  directory: string,
  uri: string,
  patience: Patience,
  onProgress?: OnProgress,
): Promise<Pushed> {
  try {
    return await pushRun(directory, parseStoreUri(uri), patience, onProgress);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    const first = error.fix === undefined ? '' : `${error.fix}. `;
    // What cannot be said so is not to be said again, and may hold what nobody should see.
    const to = error.code === 'USAGE' ? 'URI' : shellWord(uri);
    const what = error.code === 'USAGE' ? 'it is sent' : 'what is missing there is sent';
    throw new ClusterError(error.code, error.message, {
      fix: `${first}The run is whole in ${directory}; ${what} by: mnist-dist push ${shellPath(directory)} ${to}`,
      cause: error,
    });
  }
}
