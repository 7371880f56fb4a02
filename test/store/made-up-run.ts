import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const RUN = '20260102-030405-abcd';

const MODEL = '\u0000\u0001binary'.repeat(1000);

/** The run.json of the made-up run, as far as a store reads it. */
export function recordOf(changes: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    run: RUN,
    started: '2026-01-02T03:04:05.000Z',
    state: 'finished',
    model: { sha256: createHash('sha256').update(MODEL).digest('hex') },
    ...changes,
  });
}

/** What a store gets of the made-up run. */
export const resultsOfRun: Readonly<Record<string, string>> = {
  'run.json': recordOf({ more: 1 }),
  'metrics.jsonl': '{"kind":"step"}\n'.repeat(5000),
  'events.jsonl': '',
  'model.safetensors': MODEL,
  'artifacts/loss.svg': '<svg/>',
  'artifacts/report.html': '<!doctype html>',
  'artifacts/confusion_matrix.csv': '1,2\n',
  'artifacts/manifest.json': '{"format":1,"files":[]}\n',
};
/** What stays where the run is. */
const others: Readonly<Record<string, string>> = {
  'lock.json': '',
  'checkpoints/step-0000000010.safetensors': 'checkpoint',
  'eval-20260103-030405/summary.json': '{}',
  'artifacts/.loss.svg.0123.tmp': 'half',
  '.drafts-1/x': 'draft',
};

/** A run's directory in this folder. */
export function makeRun(folder: string, changes: Readonly<Record<string, string>> = {}): string {
  const directory = join(folder, RUN);
  for (const [name, text] of Object.entries({ ...resultsOfRun, ...others, ...changes })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

/** All files under a directory, by their names in it. */
export function filesUnder(directory: string): Record<string, string> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return Object.fromEntries(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(directory.length + 1), readFileSync(path, 'utf8')];
    }),
  );
}
