import { writerOf } from '../../coordinator/run-directory/run-lock.ts';
import { systemProcesses } from '../../coordinator/run-directory/processes.ts';
import { systemDisk } from '../../shared/disk/disk.ts';
import { ClusterError } from '../../shared/errors.ts';
import { shellWord } from '../../shared/shell-word.ts';
import { parseStoreUri } from '../../artifacts/store/store-address.ts';
import { pushRun } from '../../artifacts/store/push.ts';
import { chooseRun } from '../runs/choose-run.ts';
import type { CommandLine, PushOptions } from '../options/options.ts';
import { filesText, transfer } from '../runs/transfer.ts';

/** `mnist-dist push RUN URI`: uploads a run's results, except files that the store already has. */
export async function push(
  options: PushOptions,
  { operands: [named, uri = ''] }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  const address = parseStoreUri(uri);
  const directory = chooseRun(named, '.');
  return await transfer(options, async ({ retryPolicy, onProgress, terminal: { log } }) => {
    const writer = await writerOf(directory, systemDisk, systemProcesses);
    if (writer !== undefined)
      throw new ClusterError('LOCKED', `${writer} is running ${directory}`, {
        fix:
          'push the run after it has ended; if that process no longer exists, ' +
          'resume the run with --take-over first',
      });
    const pushed = await pushRun(directory, address, retryPolicy, onProgress);
    if (pushed.state !== 'finished')
      log.warn(
        { state: pushed.state },
        `the run ${directory} is not finished: its state is ${pushed.state}`,
      );
    const { files, bytes, moved, movedBytes } = pushed;
    return {
      sentence:
        `${directory} is at ${pushed.uri}: ${filesText(files, bytes)}; ` +
        `sent now: ${filesText(moved, movedBytes)}`,
      next: `download it with: mnist-dist pull ${shellWord(pushed.uri)}`,
      fields: { event: 'pushed', ...pushed },
    };
  });
}
