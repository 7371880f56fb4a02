import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseRunRecord, type RunRecord } from '../../../../shared/files/run-schema.ts';

export function edit(directory: string, change: (record: RunRecord) => object): void {
  const path = join(directory, 'run.json');
  writeFileSync(path, JSON.stringify(change(parseRunRecord(readFileSync(path, 'utf8'), path))));
}

export function without(record: RunRecord, ...names: readonly (keyof RunRecord)[]): object {
  return Object.fromEntries(
    Object.entries(record).filter(([name]) => !names.some((each) => each === name)),
  );
}

/** Leaves the run as a crash would, without a record of its end. */
export function crash(directory: string): void {
  edit(directory, (record) => ({
    ...without(record, 'ended', 'result', 'error'),
    state: 'running',
  }));
}
