import { planRepair, repair, repairLines } from '../../worker/native/cache/repair.ts';
import { ensureTensorFlow, type NativeEngine } from '../../worker/native/ensure.ts';
import type { Report } from '../../worker/native/setup-event.ts';
import type { SetupOptions } from '../options/options.ts';
import { stderr, stdout } from '../terminal/output.ts';
import { setupProgress } from '../terminal/setup-progress.ts';

/** `mnist-dist setup`: prepares the TensorFlow engine and prints its path. Throws SETUP. */
export async function setup(options: SetupOptions): Promise<number> {
  const progress = setupProgress(stderr);
  const native = await engineOf(options, progress.report).finally(progress.end);
  stdout.write(`TensorFlow ${native.version} (${native.device}): ${native.library}`);
  return 0;
}

async function engineOf(
  { tensorflow, gpu, cpu, offline, repair: isRepair }: SetupOptions,
  report: Report,
): Promise<NativeEngine> {
  const device = gpu ? 'gpu' : cpu ? 'cpu' : undefined;
  const wanted = { tensorflow, device, offline, isTested: true } as const;
  if (!isRepair) return await ensureTensorFlow(wanted, report);
  const plan = await planRepair({ isThorough: true });
  const changes = repairLines(plan);
  const said = changes.length === 0 ? [`nothing to repair in ${plan.cache}`] : changes;
  for (const text of said) report({ text });
  return await repair(plan, wanted, report);
}
