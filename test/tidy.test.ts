import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { guards, withoutGuard } from './simulation/guards.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Which folders each top-level folder's files may import from; ARCHITECTURE explains it. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  shared: [],
  artifacts: ['shared'],
  coordinator: ['bin', 'shared'],
  worker: ['bin', 'shared'],
  dashboards: ['shared', 'coordinator'],
  cli: ['bin', 'shared', 'coordinator', 'worker', 'artifacts', 'dashboards'],
};

function sourcesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(folder, file));
}

/** The files that a file imports, even if only for types, as paths from the root. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map(([, target = '']) =>
    relative(root, resolve(root, dirname(file), target)),
  );
}

/** The files and packages that loading a file loads: without types and dynamic imports. */
function loadedBy(file: string, found = new Set<string>()): ReadonlySet<string> {
  found.add(file);
  const text = readFileSync(join(root, file), 'utf8');
  for (const [, target = ''] of text.matchAll(/^(?:im|ex)port (?!type )[^;]*?from '([^']+)';$/gm)) {
    const path = target.startsWith('.') ? relative(root, resolve(root, dirname(file), target)) : '';
    if (path === '') found.add(target);
    else if (!found.has(path)) loadedBy(path, found);
  }
  return found;
}

const folders = [...Object.keys(allowed), 'test'];
const files = folders.flatMap(sourcesOf);

describe('the source tree', () => {
  it.each(Object.entries(allowed))('%s imports only from itself and %j', (folder, others) => {
    for (const file of sourcesOf(folder))
      for (const target of importsOf(file))
        expect([folder, ...others], `${file} imports ${target}`).toContain(target.split('/')[0]);
  });

  it('has decisions that import only each other and shared', () => {
    const targets = sourcesOf('coordinator/decisions').flatMap(importsOf);
    const elsewhere = targets.filter((file) => !/^(coordinator\/decisions|shared)\//.test(file));
    expect(elsewhere).toEqual([]);
  });

  it('has no import cycles, not even of types', () => {
    const sources = files.filter((file) => !file.startsWith('test/'));
    const left = new Map(sources.map((file) => [file, importsOf(file)]));
    // A file that imports none of the remaining files is not in a cycle.
    const isFree = (file: string) => !left.get(file)?.some((target) => left.has(target));
    for (let free = sources.filter(isFree); free.length > 0; free = [...left.keys()].filter(isFree))
      for (const file of free) left.delete(file);
    expect([...left.keys()]).toEqual([]);
  });

  it('has at most 25 files in a folder', () => {
    const counts = new Map<string, number>();
    for (const top of [...folders, 'bin', 'deploy', 'docs']) {
      const entries = readdirSync(join(root, top), { recursive: true, withFileTypes: true });
      for (const { parentPath } of entries.filter((entry) => entry.isFile()))
        counts.set(parentPath, (counts.get(parentPath) ?? 0) + 1);
    }
    expect([...counts].filter(([, count]) => count > 25)).toEqual([]);
  });

  it('has scripts that import and run only files that exist, or that the build makes', () => {
    const scripts = [...folders, 'bin', 'deploy', '.ci'].flatMap((top) =>
      readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })
        .map((file) => join(top, file))
        .filter((file) => /\.(mjs|sh)$/.test(file)),
    );
    const isThere = (path: string) => {
      const source = path.replace(/^dist\//, '');
      return [path, source, source.replace(/\.js$/, '.ts')].some((each) =>
        existsSync(join(root, each)),
      );
    };
    const missing = scripts.flatMap((file) => {
      const text = readFileSync(join(root, file), 'utf8');
      const imports = [...text.matchAll(/(?:from|import\() ?['`](\.[^'`]+)['`]/g)].map(
        ([, target = '']) => join(dirname(file), target),
      );
      const folder = /cd "\$\(dirname "\$0"\)\/([./]+)"/.exec(text)?.[1];
      const programs =
        folder === undefined
          ? []
          : [...text.matchAll(/^(test\/\S+\.sh)/gm)].map(([, program = '']) =>
              join(dirname(file), folder, program),
            );
      return [...imports, ...programs].filter((path) => !isThere(path)).map((p) => `${file}: ${p}`);
    });
    expect(missing).toEqual([]);
  });

  it('imports TensorFlow only in worker/engines and worker/native', () => {
    const users = files.filter((file) =>
      /(from|import\() ?'@tensorflow/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(users.filter((file) => !/^worker\/(engines|native)\//.test(file))).toEqual([]);
  });

  it('loads the S3 client only for an S3 store', () => {
    const users = (pattern: RegExp) =>
      files.filter(
        (file) => !file.startsWith('test') && pattern.test(readFileSync(join(root, file), 'utf8')),
      );
    expect(users(/'@aws-sdk/)).toEqual(['artifacts/store/s3-store.ts']);
    expect(users(/from '\.\/s3-store/)).toEqual([]);
    expect(users(/import\('\.\/s3-store/)).toEqual(['artifacts/store/open-store.ts']);
  });

  it('prints help without loading the program', () => {
    const files = [...loadedBy('cli/start.ts')].filter((name) => !name.startsWith('node:'));
    expect(files.toSorted()).toEqual([
      'cli/options/invocation.ts',
      'cli/printed-help.ts',
      'cli/start.ts',
      'shared/package-root.ts',
      'shared/printable.ts',
      'shared/shell-word.ts',
    ]);
  });

  it('has a worker that dials before it loads schemas, engines and what reads frames', () => {
    const loaded = new Set([...loadedBy('cli/main.ts'), ...loadedBy('cli/commands/worker.ts')]);
    const packages = [...loaded].filter((name) => !/^node:|\.(ts|mjs)$/.test(name));
    expect(packages.toSorted()).toEqual(['commander', 'fastest-levenshtein']);
    expect(loaded).toContain('worker/dial.ts');
  });

  it('has no file with more than 500 lines, nor a core file with more than 130', () => {
    const lines = (file: string) => readFileSync(join(root, file), 'utf8').split('\n').length - 1;
    expect(files.filter((file) => lines(file) > 500)).toEqual([]);
    const core = [
      'coordinator/decisions/training-loop.ts',
      'coordinator/decisions/reduce.ts',
      'shared/wire/messages.ts',
    ];
    expect(core.filter((file) => lines(file) > 130)).toEqual([]);
  });

  it('does not compute bytes with functions that differ between Node versions', () => {
    const engines = /^worker\/(engines\/(reference|float64)|native\/)/;
    const others = /^(shared\/digit|cli|test|dashboards)\//;
    const users = files.filter(
      (file) =>
        !engines.test(file) &&
        !others.test(file) &&
        /Math\.(exp|log|pow|tanh|sin|cos)\(/.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(users).toEqual([]);
  });

  it('opens untrusted files in one place, without following links or waiting for a pipe', () => {
    const opener =
      /import \{[^}]*\b(readFile(Sync)?|open(Sync)?|createReadStream)\b[^}]*\} from 'node:fs/;
    const exempt = /^(shared\/(disk|kernels)|test|cli\/bench|worker\/(native|engines))\//;
    const users = files.filter(
      (file) => !exempt.test(file) && opener.test(readFileSync(join(root, file), 'utf8')),
    );
    expect(users.toSorted()).toEqual([
      'artifacts/report/raster.ts',
      // It only creates files.
      'artifacts/store/plain-file.ts',
      // These only open files of this package, in /proc or in /dev/shm.
      'cli/options/recipe-file.ts',
      'cli/package.ts',
      'cli/printed-help.ts',
      'dashboards/server/page-files.ts',
      'shared/process-limits.ts',
      'shared/wire/shared-memory.ts',
    ]);
  });

  it('contains each line that a simulator guard removes exactly once', () => {
    const missing = guards.filter(
      (guard) => withoutGuard(readFileSync(join(root, guard.file), 'utf8'), guard) === undefined,
    );
    expect(missing).toEqual([]);
  });
});
