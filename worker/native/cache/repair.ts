import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { cacheDirectory } from '../../../shared/disk/cache-directory.ts';
import { readyTensorFlow, type NativeEngine } from '../engine-manifest.ts';
import { damageOf, ensureTensorFlow, withCache, type SetupOptions } from '../ensure.ts';
import type { Report } from '../setup-event.ts';
import { findDefects, type Defect, type Examination } from './defects.ts';
import { megabytes } from './disk-use.ts';

/**
 * The changes that a repair would make. Outside the cache, a repair changes only this checkout's
 * link.
 */
export interface RepairPlan extends Examination {
  readonly cache: string;
  readonly defects: readonly Defect[];
  /** Why TensorFlow must be set up; undefined if it works. */
  readonly setUp: string | undefined;
}

/**
 * Examines the cache and tests the engine. Changes nothing. With `isThorough`, also compares the
 * checksums of an engine that works, which takes seconds. `link` replaces this checkout's link to
 * the binding.
 */
export async function planRepair({
  isThorough,
  link,
}: {
  readonly isThorough: boolean;
  readonly link?: string;
}): Promise<RepairPlan> {
  const cache = cacheDirectory();
  const native = readyTensorFlow(link);
  const failure = native === undefined ? 'it is not set up' : await damageOf(native);
  const working = failure === undefined ? native?.library : undefined;
  const defects = findDefects(cache, { working, isThorough });
  const isLost = working !== undefined && defects.some(({ path }) => path === dirname(working));
  const setUp = isLost ? 'its library is damaged' : failure;
  return { cache, defects, setUp, working, isThorough };
}

/** One line for each change, for the user. */
export function repairLines({ cache, defects, setUp }: RepairPlan): readonly string[] {
  return [
    ...defects.map(({ path, bytes, why }) => `remove ${path} (${megabytes(bytes)}): ${why}`),
    ...(setUp === undefined ? [] : [`set up TensorFlow in ${cache}: ${setUp}`]),
  ];
}

/**
 * Removes everything that the plan lists, and sets up TensorFlow if it does not work. Rejects with
 * SETUP if the engine cannot be repaired without the user.
 */
export async function repair(
  plan: RepairPlan,
  options: SetupOptions,
  report: Report,
): Promise<NativeEngine> {
  const { cache, defects } = plan;
  if (defects.length > 0)
    await withCache(cache, report, async (lease) => {
      const listed = new Set(defects.map(({ path }) => path));
      // Another set-up may have completed while this one waited for the lock.
      for (const { path } of findDefects(cache, plan)) {
        if (!listed.has(path)) continue;
        lease.check();
        rmSync(path, { recursive: true, force: true });
      }
    });
  return await ensureTensorFlow({ ...options, isTested: true }, report);
}
