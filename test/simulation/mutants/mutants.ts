import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync } from 'node:fs';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withoutGuard, type Guard } from '../guards.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const KERNELS = 'dist/shared/kernels';
const SOURCES = ['tsconfig.json', 'bin', 'coordinator', 'worker', 'shared', 'test', KERNELS];
const PROGRAM = 'test/simulation/run-seeds';

/** What guards.test.ts runs, each in its own copy of the sources. */
export interface Mutants {
  /** The simulator with all guards. */
  readonly intact: string;
  /** For each guard, the simulator or the guard's own test, without the guard. */
  readonly files: readonly string[];
}

/**
 * Writes one copy of the sources per guard to `folder`: sources/NUMBER if the guard has its own
 * test, compiled/NUMBER otherwise. The copies named `intact` contain all guards. The compiler runs
 * once. Files that do not differ are hard links.
 */
export function writeMutants(folder: string, guards: readonly Guard[]): Mutants {
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  cpSync(join(root, 'package.json'), join(folder, 'package.json'));
  const [sources, compiled] = [join(folder, 'sources'), join(folder, 'compiled')];
  for (const name of SOURCES)
    cpSync(join(root, name), join(sources, 'intact', name), { recursive: true, filter: isNeeded });
  const mutated = guards.map((guard, number) => writeWithout(guard, join(sources, `${number}`)));
  compile(folder, [
    join(sources, 'intact', `${PROGRAM}.ts`),
    ...mutated.filter((_, number) => guards[number]?.test === undefined),
  ]);
  cpSync(join(root, KERNELS), join(compiled, 'intact', KERNELS), { recursive: true });
  const files = guards.map(({ test }, number) => {
    const home = test === undefined ? compiled : sources;
    const copy = join(home, `${number}`);
    linkMissing(join(home, 'intact'), copy);
    if (test !== undefined) cpSync(join(root, test), join(copy, test));
    return join(copy, test ?? `${PROGRAM}.js`);
  });
  return { intact: join(compiled, 'intact', `${PROGRAM}.js`), files };
}

/** vitest must find only the tests that guards name. */
function isNeeded(path: string): boolean {
  return !path.endsWith('.test.ts') && path !== join(root, 'test/system');
}

function writeWithout(guard: Guard, copy: string): string {
  const source = withoutGuard(readFileSync(join(root, guard.file), 'utf8'), guard);
  if (source === undefined)
    throw new Error(`${guard.file} does not contain this line exactly once: ${guard.line}`);
  const path = join(copy, guard.file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, source);
  return path;
}

/** Compiles without a check of the types, which may not hold without a guard. */
function compile(folder: string, files: readonly string[]): void {
  const compilerOptions = {
    rootDir: 'sources',
    outDir: 'compiled',
    noEmit: false,
    allowImportingTsExtensions: false,
    sourceMap: false,
    noCheck: true,
  };
  const config = { extends: join(root, 'test/tsconfig.json'), compilerOptions, files, include: [] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const command = join(root, 'node_modules/.bin/tsc');
  const { status, stdout } = spawnSync(command, ['-p', folder], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the sources cannot be compiled:\n${stdout}`);
}

/** Hard-links the files of `from` that are missing in `to`. */
function linkMissing(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) linkMissing(source, target);
    else if (!existsSync(target)) linkSync(source, target);
  }
}
