import { join } from 'node:path';
import { dashboardFiles, isOurs } from '../dashboards/files.ts';
import { readNamed, runFileLimit } from '../data/regular-file.ts';
import { systemCode } from '../data/system-error.ts';
import { makeDirectories, writeWhole } from '../data/whole-file.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { stdout } from './output.ts';

interface DashboardsCommand {
  readonly out: string | undefined;
}

/**
 * `mnist-dist dashboards`: writes the dashboards, over older ones of this program, never over anything else; either all of
 * them or none. Rejects with USAGE where a file of somebody else is in the way, with DISK where writing fails.
 */
export async function dashboards({ out = 'dashboards' }: DashboardsCommand): Promise<number> {
  const files = dashboardFiles().map((file) => ({ ...file, path: join(out, file.name) }));
  for (const { path } of files) await refuseForeign(path);
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

async function refuseForeign(path: string): Promise<void> {
  const found = await readIfThere(path);
  if (found === undefined || isOurs(found)) return;
  throw new ClusterError('USAGE', `${path} is there already and is no dashboard of mnist-dist (--out)`, {
    fix: 'Move it away, or name another folder.',
  });
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
