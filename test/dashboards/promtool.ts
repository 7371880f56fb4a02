import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const rulesFolder = fileURLToPath(new URL('../../dashboards/grafana/rules/', import.meta.url));

/** Why what needs Prometheus' programs cannot run here; undefined where it can. */
export const missing = ['prometheus', 'promtool'].some(
  (program) => spawnSync(program, ['--version']).error !== undefined,
)
  ? 'Prometheus is not installed; test/install-servers.sh does that on Debian'
  : undefined;

/** Runs promtool in a folder of its own that has this file. */
export function promtool(
  command: readonly string[],
  file: { readonly name: string; readonly text: string },
): { status: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-promtool-'));
  try {
    writeFileSync(join(folder, file.name), file.text);
    const { status, stdout, stderr } = spawnSync('promtool', [...command, file.name], {
      cwd: folder,
      encoding: 'utf8',
    });
    return { status, output: `${stdout}${stderr}` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What promtool has to say against metrics as they are exported; empty where that is nothing. */
export function lintMetrics(text: string): string {
  const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  return `${stdout}${stderr}`.trim();
}
