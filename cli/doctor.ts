import { errorTable } from '../shared/errors.ts';
import { canTrain, doctorRows } from '../worker/native/doctor.ts';
import { rowLines } from '../worker/native/doctor-table.ts';
import { stdout } from './output.ts';

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
  if (options.json) stdout.json({ canTrain: isAble, rows });
  else {
    stdout.write(...rowLines(rows), '');
    stdout.write(isAble ? 'Training can run here.' : 'Training cannot run here; see FAIL above.');
  }
  return isAble ? 0 : errorTable.NOT_READY.exit;
}
