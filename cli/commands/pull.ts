import { parseStoreUri } from '../../artifacts/store/store-address.ts';
import { pullRun } from '../../artifacts/store/pull.ts';
import type { CommandLine, PullOptions } from '../options/options.ts';
import { filesText, transfer } from '../runs/transfer.ts';

/** `mnist-dist pull URI [DIR]`: downloads a run from a store, completely or not at all. */
export async function pull(
  options: PullOptions,
  { operands: [uri = '', named] }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  const address = parseStoreUri(uri);
  const destination = named === undefined ? { runs: options.runsDir } : { directory: named };
  return await transfer(options, async ({ retryPolicy, onProgress }) => {
    const pulled = await pullRun(address, destination, retryPolicy, onProgress);
    const { files, bytes, moved, movedBytes, directory } = pulled;
    return {
      sentence:
        `${uri} is in ${directory}: ${filesText(files, bytes)}; ` +
        `fetched now: ${filesText(moved, movedBytes)}`,
      fields: { event: 'pulled', ...pulled },
    };
  });
}
