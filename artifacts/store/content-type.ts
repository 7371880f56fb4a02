import { extname } from 'node:path';

const types: Readonly<Record<string, string>> = {
  '.csv': 'text/csv; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
};

/** What a browser makes of a file of a run. */
export function contentTypeOf(name: string): string {
  return types[extname(name)] ?? 'application/octet-stream';
}
