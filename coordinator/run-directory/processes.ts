import { z } from 'zod';

export { systemProcesses, type Processes } from '../../bin/owner.mjs';

/** A lock's owner, as recorded by any version; older versions did not record a namespace. */
export const ownerSchema = z.object({
  host: z.string().max(256),
  boot: z.string().max(64).optional(),
  namespace: z.string().max(64).optional(),
  pid: z.int().min(1),
  started: z.string().max(32),
  /** The inode of the staging folder that contains the record. */
  inode: z.string().max(20).optional(),
});
