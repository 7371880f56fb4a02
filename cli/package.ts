import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { packageRoot } from '../worker/native/places.ts';

export const version = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'))).version;

/** The script that a child process runs: the compiled program. */
export const executable = join(packageRoot, 'dist', 'cli', 'entry.js');
