import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { temporaryFolder } from '../process/cluster.ts';

export const folder = fileURLToPath(new URL('../../deploy/systemd/', import.meta.url));
export const units = [
  'mnist-dist-coordinator.service',
  'mnist-dist-worker@.service',
  'mnist-dist-cpu-worker@.service',
] as const;
export const common = 'mnist-dist-.service.d/common.conf';

export const missing =
  spawnSync('systemd-analyze', ['--version']).error === undefined
    ? undefined
    : 'systemd-analyze is not installed';

/** The values of a directive in this file of the folder, as they stand there. */
export function valuesOf(directive: string, file: string, from: string = folder): string[] {
  const lines = readFileSync(join(from, file), 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith(`${directive}=`))
    .map((line) => line.slice(directive.length + 1));
}

/** A copy of the folder, to spoil. */
export function copied(): string {
  const copy = temporaryFolder();
  cpSync(folder, copy, { recursive: true });
  return copy;
}

/** What systemd has to complain of in a unit; verify ends well where it only ignores a line. */
export function complaints(unit: string, from: string = folder): string {
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(from, unit)], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_LOG_LEVEL: 'warning' },
  });
  const ours = stderr.split('\n').filter((line) => line.includes('mnist-dist') || line.includes(from));
  return status === 0 ? ours.join('\n') : stderr;
}

/** The exposure that systemd computes for a unit, from 0 to 10. */
export function exposure(unit: string, from: string = folder): number {
  const { stdout, stderr } = spawnSync(
    'systemd-analyze',
    ['security', '--offline=true', '--no-pager', join(from, unit)],
    { encoding: 'utf8' },
  );
  const [, level] = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout) ?? [];
  if (level === undefined) throw new Error(`systemd-analyze security said: ${stdout}${stderr}`);
  return Number(level);
}

const findings = z.array(z.looseObject({ set: z.boolean().nullable(), name: z.string() }));

/** What systemd finds left open in a unit, by its names for it. */
export function openings(unit: string, from: string = folder): string[] {
  const { stdout } = spawnSync(
    'systemd-analyze',
    ['security', '--offline=true', '--no-pager', '--json=short', join(from, unit)],
    { encoding: 'utf8' },
  );
  return findings.parse(JSON.parse(stdout)).flatMap(({ set, name }) => (set === false ? [name] : []));
}
