import { join } from 'node:path';
import { dashboardFiles, isOurs } from '../../dashboards/grafana/dashboard-files.ts';
import { readNamed, runFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { makeDirectories, writeWhole } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import type { DashboardsOptions } from '../options/options.ts';
import { stdout } from '../terminal/output.ts';

/** A name that no folder of a checkout has. */
const DEFAULT_FOLDER = 'mnist-dist-dashboards';

/**
 * `mnist-dist dashboards`: writes the dashboards, all of them or none. A file that is there and
 * differs stays, unless it is a dashboard of this program and --overwrite is given. Rejects with
 * USAGE where one is in the way, with DISK where writing fails.
 */
export async function dashboards({
  out = DEFAULT_FOLDER,
  overwrite,
}: DashboardsOptions): Promise<number> {
  const files = dashboardFiles().map((file) => ({ ...file, path: join(out, file.name) }));
  for (const { path, text } of files) await refuseOther(path, text, overwrite);
  await makeDirectories(out);
  for (const { path, text, title } of files) {
    await writeWhole(path, text);
    stdout.write(`${path}  ${title}`);
  }
  stdout.write(
    '',
    'In Grafana (11.1 or later): Dashboards > New > Import, upload a file, then choose your Prometheus above the panels.',
    'deploy/observability/README.md has a Prometheus and a Grafana that find them by themselves.',
  );
  return 0;
}

async function refuseOther(path: string, text: string, overwrite: boolean): Promise<void> {
  const found = await readIfThere(path);
  if (found === undefined || found === text) return;
  if (isOurs(found) && overwrite) return;
  if (isOurs(found))
    throw new ClusterError(
      'USAGE',
      `${path} is there already and differs: it was changed, or is of another version`,
      {
        fix: 'Replace it with --overwrite, or name another folder: --out DIR.',
      },
    );
  throw new ClusterError(
    'USAGE',
    `${path} is there already and is no dashboard of mnist-dist (--out)`,
    {
      fix: 'Move it away, or name another folder.',
    },
  );
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return (await readNamed(path, runFileLimit)).toString('utf8');
  } catch (error) {
    // Whatever else is wrong with it, writing will say.
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined;
    throw new ClusterError('USAGE', `${path} cannot be read (--out): ${messageOf(error)}`, {
      fix: 'Move it away, or name another folder.',
      cause: error,
    });
  }
}
