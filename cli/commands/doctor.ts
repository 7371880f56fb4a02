import { MNIST_SHAPE } from '../../shared/dataset/dataset.ts';
import { ClusterError, errorTable } from '../../shared/errors.ts';
import type { FileNeeding } from '../../shared/file-needs.ts';
import { DEFAULT_WORKERS } from '../../shared/limits.ts';
import { tryWasm } from '../../worker/engines/wasm.ts';
import {
  planRepair,
  repair,
  repairLines,
  type RepairPlan,
} from '../../worker/native/cache/repair.ts';
import { canTrain, doctorRows, rowLines, type Row } from '../../worker/native/doctor-rows.ts';
import { fileSizeCheck, machineChecks, type MachineCheck } from '../processes/machine.ts';
import { chooseLayers, modelFor } from '../models/choose-layers.ts';
import { parseOptions } from '../options/parse-options.ts';
import { optimizerOf } from '../runs/recipe-options.ts';
import type { DoctorOptions } from '../options/options.ts';
import { stderr, stdout } from '../terminal/output.ts';
import { setupProgress } from '../terminal/setup-progress.ts';
import { resourceErrorOf } from '../processes/resource-error.ts';

/**
 * `mnist-dist doctor`: prints its checks, and what --fix would change or has changed. Resolves with
 * the exit code of NOT_READY if this machine cannot train.
 */
export async function doctor(options: DoctorOptions): Promise<number> {
  const plan = await planOf(options);
  const changes = plan === undefined ? [] : repairLines(plan);
  if (options.fix && plan !== undefined && changes.length > 0) await fix(plan, changes);
  const rows = await rowsOf(options);
  const isAble = canTrain(rows);
  if (options.json) stdout.json({ canTrain: isAble, rows, fixes: options.fix ? [] : changes });
  else {
    stdout.write(...rowLines(rows), '');
    if (!options.fix && changes.length > 0)
      stdout.write('`mnist-dist doctor --fix` would change:', ...indented(changes), '');
    stdout.write(isAble ? 'This machine can train.' : 'This machine cannot train; see FAIL above.');
  }
  return isAble ? 0 : errorTable.NOT_READY.exit;
}

/** Undefined if this user has no cache, which the rows report. */
async function planOf({ fix: isThorough }: DoctorOptions): Promise<RepairPlan | undefined> {
  try {
    return await planRepair({ isThorough });
  } catch (error) {
    if (error instanceof ClusterError) return undefined;
    throw error;
  }
}

/** Makes the changes. If one fails, says why; the rows then show what remains. */
async function fix(plan: RepairPlan, changes: readonly string[]): Promise<void> {
  stderr.write('fixing:', ...indented(changes));
  const progress = setupProgress(stderr);
  try {
    await repair(plan, {}, progress.report);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    stderr.write(`not fixed: ${error.message}`, ...indented([`fix: ${error.fix ?? 'none'}`]));
  } finally {
    progress.end();
  }
}

async function rowsOf(options: DoctorOptions): Promise<readonly Row[]> {
  // These run first, because the other checks allocate WebAssembly memories.
  const machine = [...machineChecks(DEFAULT_WORKERS), fileSizeCheck(defaultRun())].map(machineRow);
  return [...(await doctorRows(tryWasm, options)), ...machine];
}

/** What the default options of `local` compute. */
function defaultRun(): FileNeeding {
  const { options } = parseOptions('local', new Map(), {});
  return {
    model: modelFor(chooseLayers(options, {}), MNIST_SHAPE),
    optimizer: optimizerOf(options),
  };
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}

/** The row for a check that `local` performs as well. */
export function machineRow({ name, good, run }: MachineCheck): Row {
  try {
    run();
    return { check: name, status: 'ok', detail: good };
  } catch (error) {
    const refusal = resourceErrorOf(error);
    if (refusal === undefined) throw error;
    return {
      check: name,
      status: 'failed',
      detail: refusal.message,
      ...(refusal.fix === undefined ? {} : { fix: refusal.fix }),
    };
  }
}
