import { errorTable } from '../shared/errors.ts';
import { canTrain, doctorRows } from '../worker/native/doctor.ts';
import { formatRows } from '../worker/native/doctor-table.ts';

export interface DoctorCommand {
  readonly json: boolean;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly data?: string | undefined;
  readonly runsDir?: string | undefined;
}

/** `mnist-dist doctor`: the table, or JSON; resolves with NOT_READY if training cannot run here. */
export async function doctor(options: DoctorCommand): Promise<number> {
  const rows = await doctorRows(options);
  const isAble = canTrain(rows);
  if (options.json) process.stdout.write(`${JSON.stringify({ canTrain: isAble, rows }, undefined, 2)}\n`);
  else {
    process.stdout.write(formatRows(rows));
    process.stdout.write(
      isAble ? '\nTraining can run here.\n' : '\nTraining cannot run here; see FAIL above.\n',
    );
  }
  return isAble ? 0 : errorTable.NOT_READY.exit;
}
