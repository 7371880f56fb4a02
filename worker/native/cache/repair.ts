import { rmSync } from 'node:fs';
import { cacheDirectory } from '../../../shared/disk/cache-directory.ts';
import { readyTensorFlow, type NativeEngine } from '../engine-manifest.ts';
import { damageOf, ensureTensorFlow, withCache, type SetupOptions } from '../ensure.ts';
import type { Report } from '../setup-event.ts';
import { findDefects, type Defect } from './defects.ts';
import { megabytes } from './disk-use.ts';

/**
 * The changes that a repair would make. Outside the cache, a repair changes only this checkout's
 * link.
 */
export interface RepairPlan {
  readonly cache: string;
  readonly defects: readonly Defect[];
  /** Why TensorFlow must be set up; undefined if it works. */
  readonly setUp: string | undefined;
  /** The folder with the library of a working engine. */
  readonly working: string | undefined;
}

/**
 * Examines the cache and tests the engine. Changes nothing. `link` replaces this checkout's link to
 * the binding.
 */
export async function planRepair(link?: string): Promise<RepairPlan> {
  const cache = cacheDirectory();
  const native = readyTensorFlow(link);
  const setUp = native === undefined ? 'it is not set up' : await damageOf(native);
  const working = setUp === undefined ? native?.library : undefined;
  return { cache, defects: findDefects(cache, working), setUp, working };
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
  const { cache, defects, working } = plan;
  if (defects.length > 0)
    await withCache(cache, report, async (lease) => {
      const listed = new Set(defects.map(({ path }) => path));
      // Another set-up may have completed while this one waited for the lock.
      for (const { path } of findDefects(cache, working)) {
        if (!listed.has(path)) continue;
        lease.check();
        rmSync(path, { recursive: true, force: true });
      }
    });
  return await ensureTensorFlow({ ...options, isTested: true }, report);
}
