import { errorTable } from '../../shared/errors.ts';
import { DEFAULT_WORKERS } from '../../shared/limits.ts';
import { tryWasm } from '../../worker/engines/wasm.ts';
import { canTrain, doctorRows, rowLines, type Row } from '../../worker/native/doctor-rows.ts';
import { readyTensorFlow } from '../../worker/native/engine-manifest.ts';
import { machineChecks, type MachineCheck } from '../processes/machine.ts';
import type { DoctorOptions } from '../options/options.ts';
import { stdout } from '../terminal/output.ts';
import { resourceErrorOf } from '../processes/resource-error.ts';

/**
 * `mnist-dist doctor`: prints its checks. Resolves with the exit code of NOT_READY if this machine
 * cannot train.
 */
export async function doctor(options: DoctorOptions): Promise<number> {
  const engine = readyTensorFlow() === undefined ? 'wasm' : 'tensorflow';
  // These run first, because the other checks allocate WebAssembly memories.
  const machine = machineChecks(DEFAULT_WORKERS, engine).map(machineRow);
  const rows = [...(await doctorRows(tryWasm, options)), ...machine];
  const isAble = canTrain(rows);
  if (options.json) stdout.json({ canTrain: isAble, rows });
  else {
    stdout.write(...rowLines(rows), '');
    stdout.write(isAble ? 'This machine can train.' : 'This machine cannot train; see FAIL above.');
  }
  return isAble ? 0 : errorTable.NOT_READY.exit;
}

/** The row for a check that `local` performs as well. */
export function machineRow({ name, good, isNeeded, run }: MachineCheck): Row {
  try {
    run();
    return { check: name, status: 'ok', detail: good };
  } catch (error) {
    const refusal = resourceErrorOf(error);
    if (refusal === undefined) throw error;
    return {
      check: name,
      status: isNeeded ? 'failed' : 'warning',
      detail: refusal.message,
      ...(refusal.fix === undefined ? {} : { fix: refusal.fix }),
    };
  }
}
