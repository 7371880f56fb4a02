export type CsvRow = readonly (string | number)[];

/**
 * Comma-separated values (RFC 4180, but with line feeds). Text that a spreadsheet would interpret
 * as a formula gets a leading apostrophe.
 */
export function csv(rows: readonly CsvRow[]): string {
  return rows.map((row) => `${csvLine(row)}\n`).join('');
}

/** The same with the line endings of RFC 4180, for command output. */
export function printedCsv(rows: readonly CsvRow[]): string {
  return rows.map((row) => `${csvLine(row)}\r\n`).join('');
}

function csvLine(row: CsvRow): string {
  return row.map(field).join(',');
}

function field(value: string | number): string {
  const text = typeof value === 'string' ? value.replace(/^[=+\-@\t\r]/, "'$&") : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
