import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { lstatIfThere, readNamed, tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { makeDirectories, withOutFolder, writeWhole } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { count } from '../../shared/text/number-format.ts';
import { checkExportSize, exportedModel } from '../export/exported-model.ts';
import { exportFiles } from '../export/export-files.ts';
import { exportFormats } from '../export/export-formats.ts';
import type { CommandLine, ExportOptions } from '../options/options.ts';
import { restoreSignals } from '../processes/signals.ts';
import { onStop } from '../processes/supervised.ts';
import { chooseModel, layoutOf, unnamedText } from '../runs/choose-model.ts';
import { retryPolicyOf } from '../runs/transfer.ts';
import { createLogger } from '../terminal/log.ts';
import { stderr, stdout } from '../terminal/output.ts';

/** In the run directory, or in the current folder if the model has none. */
const DEFAULT_FOLDER = 'export';

/**
 * `mnist-dist export`: writes a model in the format of another program. Writes all of its files, or
 * none if an existing file with different content is in the way and --overwrite is not set. Rejects
 * with USAGE if a file must not be replaced, with LIMIT if the model is too large, and with DISK if
 * writing fails.
 */
export async function exportModel(
  { to, out, overwrite, runsDir, data }: ExportOptions,
  { operands: [named] }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  if (to === undefined)
    throw new ClusterError('USAGE', 'export needs --to, the format to write', {
      fix: `allowed: ${exportFormats.join(', ')}`,
    });
  const stopping = new AbortController();
  const release = onStop((code) => stopping.abort(new ClusterError(code, 'stopped')));
  const log = createLogger({ level: 'warn', format: 'text', destination: stderr });
  const chosen = await chooseModel(named, runsDir, retryPolicyOf(stopping.signal, log)).finally(
    release,
  );
  // JavaScript handles no signal while it computes.
  restoreSignals();
  checkExportSize(chosen.name, chosen.weights.byteLength);
  const layout = await layoutOf(chosen, data);
  if (!layout.isNamed) log.warn({}, unnamedText(chosen));
  const folder = out ?? join(chosen.directory ?? '', DEFAULT_FOLDER);
  const files = exportFiles(to, exportedModel({ ...chosen, ...layout })).map((file) => ({
    ...file,
    path: join(folder, file.name),
  }));
  for (const { path, bytes } of files) await refuseOther(path, bytes, overwrite);
  await withOutFolder(async () => {
    for (const { path, bytes } of files) {
      await makeDirectories(dirname(path));
      await writeWhole(path, bytes);
    }
  });
  for (const { path, bytes } of files) {
    const digest = createHash('sha256').update(bytes).digest('hex');
    stdout.write(`${path}  ${count(bytes.length)} bytes  sha256 ${digest}`);
  }
  return 0;
}

/** Throws USAGE unless the file can be written, or exists and has these bytes. */
async function refuseOther(path: string, bytes: Uint8Array, overwrite: boolean): Promise<void> {
  const other = 'write to a different folder with --out DIR';
  try {
    const found = await lstatIfThere(path);
    if (found === undefined || (overwrite && !found.isDirectory())) return;
    if (found.isDirectory())
      throw new ClusterError('USAGE', `${path} is a folder`, { fix: `move it away, or ${other}` });
    const isSame = async () => (await readNamed(path, tensorFileLimit)).equals(bytes);
    if (found.size === bytes.length && (await isSame())) return;
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'USAGE') throw error;
    throw new ClusterError('USAGE', `${path} cannot be read (--out): ${messageOf(error)}`, {
      fix: `move it away, or ${other}`,
      cause: error,
    });
  }
  throw new ClusterError('USAGE', `${path} exists and differs`, {
    fix: `replace it with --overwrite, or ${other}`,
  });
}
