import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from '../shared/errors.ts';
import { packageRoot } from '../shared/package-root.ts';

export const version: string = readVersion();

/** The script that a child process runs: the compiled program. */
export const executable = join(packageRoot, 'dist', 'cli', 'entry.js');

/**
 * Reads the version without a schema. Every command calls this, and most commands do not need the
 * schema library.
 */
function readVersion(): string {
  const description: unknown = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
  assert(typeof description === 'object' && description !== null, 'package.json is an object');
  const found: unknown = Reflect.get(description, 'version');
  assert(typeof found === 'string', 'package.json has a version');
  return found;
}
