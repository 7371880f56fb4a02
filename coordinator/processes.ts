import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';
import { systemCode } from '../data/system-error.ts';

/** A process. Host and boot tell machines and their restarts apart, `started` one pid from its next use. */
export const processSchema = z.strictObject({
  host: z.string().max(256),
  boot: z.string().max(64),
  pid: z.int().min(1),
  started: z.string().max(32),
});
export type ProcessIdentity = z.infer<typeof processSchema>;

/** What a process knows of itself and of others on its host. */
export interface Processes {
  readonly self: () => ProcessIdentity;
  /** When a process of this host started, in clock ticks since the boot; undefined when there is none. */
  readonly startOf: (pid: number) => string | undefined;
}

export const systemProcesses: Processes = {
  self: () => ({
    host: hostname(),
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pid: process.pid,
    started: startOf(process.pid) ?? '',
  }),
  startOf,
};

function startOf(pid: number): string | undefined {
  try {
    // Its name, in parentheses, may hold spaces; the 22nd field is the 20th after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}
