import { z } from 'zod';

export { systemProcesses, type Processes } from '../../bin/owner.mjs';

/** The owner of a lock as any version recorded it; older versions recorded no namespace. */
export const ownerSchema = z.object({
  host: z.string().max(256),
  boot: z.string().max(64).optional(),
  namespace: z.string().max(64).optional(),
  pid: z.int().min(1),
  started: z.string().max(32),
});
