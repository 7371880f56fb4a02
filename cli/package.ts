import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** The folder of this package, wherever the compiled files lie in it. */
export const packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

export const version = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'))).version;

/** The script that a child process runs: the compiled program. */
export const executable = join(packageRoot, 'dist', 'cli', 'entry.js');

function findRoot(directory: string): string {
  return existsSync(join(directory, 'package.json')) ? directory : findRoot(dirname(directory));
}
