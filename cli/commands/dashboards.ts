import { join } from 'node:path';
import { dashboardFiles, isOurs } from '../../dashboards/grafana/dashboard-files.ts';
import { readNamed, runFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { makeDirectories, withOutFolder, writeWhole } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import type { DashboardsOptions } from '../options/options.ts';
import { stdout } from '../terminal/output.ts';

/** Must not be the name of a folder in a checkout. */
const DEFAULT_FOLDER = 'mnist-dist-dashboards';

/**
 * `mnist-dist dashboards`: writes all dashboards, or none if an existing file is in the way. An
 * existing file with different content is replaced only if it is an mnist-dist dashboard and
 * --overwrite is set. Rejects with USAGE if a file must not be replaced, and with DISK if writing
 * fails.
 */
export async function dashboards({
  out = DEFAULT_FOLDER,
  overwrite,
}: DashboardsOptions): Promise<number> {
  const files = dashboardFiles().map((file) => ({ ...file, path: join(out, file.name) }));
  for (const { path, text } of files) await refuseOther(path, text, overwrite);
  await withOutFolder(async () => {
    await makeDirectories(out);
    for (const { path, text, title } of files) {
      await writeWhole(path, text);
      stdout.write(`${path}  ${title}`);
    }
  });
  stdout.write(
    '',
    'To import one in Grafana 11.1 or later: Dashboards > New > Import, upload the file, then',
    'choose your Prometheus above the panels. The Grafana in deploy/observability loads all of',
    'them without an import.',
  );
  return 0;
}

async function refuseOther(path: string, text: string, overwrite: boolean): Promise<void> {
  const found = await existingText(path);
  if (found === undefined || found === text) return;
  if (isOurs(found) && overwrite) return;
  if (isOurs(found))
    throw new ClusterError(
      'USAGE',
      `${path} exists and differs: it was edited, or written by another version`,
      {
        fix: 'replace it with --overwrite, or write to a different folder with --out DIR',
      },
    );
  throw new ClusterError('USAGE', `${path} exists and is not an mnist-dist dashboard (--out)`, {
    fix: 'move it away, or write to a different folder',
  });
}

async function existingText(path: string): Promise<string | undefined> {
  try {
    return (await readNamed(path, runFileLimit)).toString('utf8');
  } catch (error) {
    // The write reports every other problem with the path.
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw new ClusterError('USAGE', `${path} cannot be read (--out): ${messageOf(error)}`, {
      fix: 'move it away, or write to a different folder',
      cause: error,
    });
  }
}
