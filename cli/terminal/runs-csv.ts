import type { CsvRow } from '../../artifacts/report/csv.ts';
import type { RunOverview } from '../runs/run-overview.ts';

/** The columns that a table of runs can have. Unknown values are empty cells. */
const columns = {
  run: ({ name }) => name,
  directory: ({ directory }) => directory,
  state: ({ state }) => state,
  started: ({ started }) => started,
  step: ({ step }) => step,
  steps: ({ steps }) => steps,
  set: ({ evaluation }) => evaluation?.set ?? '',
  accuracy: ({ evaluation }) => evaluation?.accuracy ?? '',
  loss: ({ evaluation }) => evaluation?.loss ?? '',
  seconds: ({ seconds }) => seconds,
  workers: ({ workers }) => workers,
  engine: ({ engine }) => engine ?? '',
  dataset: ({ dataset }) => dataset,
} as const satisfies Readonly<Record<string, (run: RunOverview) => string | number>>;

export type RunsCsvColumn = keyof typeof columns;

/** The cells of a run in these columns. */
export function runsCsvRow(run: RunOverview, heads: readonly RunsCsvColumn[]): CsvRow {
  return heads.map((head) => columns[head](run));
}
