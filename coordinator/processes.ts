import { z } from 'zod';
import { isRunning, thisProcess, type Owner } from '../bin/owner.mjs';

/** The owner of a lock as any version recorded it; an older one knows no namespace. */
export const ownerSchema = z.object({
  host: z.string().max(256),
  boot: z.string().max(64).optional(),
  namespace: z.string().max(64).optional(),
  pid: z.int().min(1),
  started: z.string().max(32),
});

/** What a process knows of itself and of others on its host. */
export interface Processes {
  readonly self: () => Owner;
  /** Whether the process that had this number and start is still running. */
  readonly isRunning: (pid: number, started: string) => boolean;
}

export const systemProcesses: Processes = { self: thisProcess, isRunning };
