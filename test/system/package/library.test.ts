import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { arch } from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { follow } from '../../fixtures/processes/program.ts';
import { pngFile } from '../../fixtures/png-file.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const FOLDER = join(root, '.mnist-dist', 'nodes');
const nodes = (existsSync(FOLDER) ? readdirSync(FOLDER) : []).map((name) => ({
  name,
  path: join(FOLDER, name, 'node_modules', `node-linux-${arch}`, 'bin', 'node'),
}));

/** Runs a script of this repository, which imports the library by its name, in a new folder. */
function script(file: string, args: readonly string[] = [], node = process.execPath) {
  const cwd = temporaryFolder();
  return { ...inFolder(cwd, file, args, node), cwd };
}

function inFolder(cwd: string, file: string, args: readonly string[], node: string) {
  return follow(
    spawn(node, [join(root, file), ...args], {
      cwd,
      env: { ...process.env, MNIST_DIST_PICTURES: 'no', MNIST_DIST_ENGINE: 'wasm' },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
  );
}

/** A picture of a vertical line. */
function picture(folder: string): string {
  const file = join(folder, 'one.png');
  const png = pngFile({ colourType: 0, bits: 8 }, 16, 16, (row, column) => [
    row > 2 && row < 13 && column > 6 && column < 9 ? 0 : 255,
  ]);
  writeFileSync(file, png);
  return file;
}

describe('the library', () => {
  it('trains several runs in one process, which then ends by itself', async () => {
    const one = picture(temporaryFolder());
    const { cwd, exited, output } = script('test/fixtures/library/several-runs.mjs', [one]);
    expect(await exited, output()).toBe(0);
    // Nothing else is printed.
    const seen = JSON.parse(output());
    const directory = join(cwd, 'runs', 'first');

    const steps = seen.events.filter(({ kind }: { kind: string }) => kind === 'step');
    expect(steps.map(({ step }: { step: number }) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(seen.events.at(-1)).toEqual({
      kind: 'evaluation',
      set: 'test',
      step: 5,
      epoch: 1,
      samples: 10_000,
      ...seen.result.test,
    });
    expect(seen.result).toMatchObject({ directory, step: 5 });
    expect(seen.second).toMatchObject({ directory, step: 7 });
    expect(seen.again).toEqual([1, 2, 3]);
    // A run of 7 steps has the bytes of one that was resumed after 5.
    expect(seen.modelSha256).toBe(seen.second.modelSha256);

    const long = join(cwd, 'runs', 'long');
    expect(seen.aborted).toEqual({
      isOwn: true,
      code: 'INTERRUPTED',
      exitCode: 130,
      message: 'aborted by the signal',
      fix: `resume: '${long}'`,
      directory: long,
      cause: 'enough',
    });
    expect(seen.isSame).toBe(true);
    const { state, step } = readRun(long).record;
    expect(state).toBe('interrupted');
    expect(readdirSync(join(long, 'checkpoints'))).toContain(
      `step-${String(step).padStart(10, '0')}.safetensors`,
    );

    expect(seen.refused).toMatchObject({
      isOwn: true,
      code: 'USAGE',
      exitCode: 2,
      message: expect.stringMatching(/^--batch-size -3 is not allowed/),
      fix: 'allowed: a whole number from 1 to 65536',
    });
    expect(seen.unknown).toMatchObject({ isOwn: true, code: 'USAGE' });
    expect(seen.never).toMatchObject({ isOwn: true, code: 'INTERRUPTED' });
    expect(seen.missing).toMatchObject({ isOwn: true, code: 'USAGE', exitCode: 2 });

    expect(seen.model).toMatchObject({ step: 7, rows: 28, columns: 28 });
    expect(seen.predicted).toMatchObject({
      file: one,
      className: String(seen.predicted.predicted),
    });
    expect(seen.inMemory).toBe(10);
    expect(seen.evaluation).toMatchObject({ step: 7, samples: 10_000, ...seen.second.test });
    expect(seen.isClean).toBe(true);
    expect(seen.processes).toBe(0);
  });

  it('runs its examples with the same bytes on every version of Node', async () => {
    const results = [];
    const own = [{ name: 'this', path: process.execPath }];
    for (const { name, path } of nodes.length === 0 ? own : nodes) {
      const trained = script('docs/examples/train.mjs', ['20'], path);
      expect(await trained.exited, `Node ${name}: ${trained.output()}`).toBe(0);
      expect(trained.output()).toMatch(/accuracy (\S+), evaluated again: \1\n$/);
      const one = picture(trained.cwd);
      const predicted = inFolder(trained.cwd, 'docs/examples/predict.mjs', [one], path);
      expect(await predicted.exited, `Node ${name}: ${predicted.output()}`).toBe(0);
      const [run = ''] = readdirSync(join(trained.cwd, 'runs'));
      results.push(readRun(join(trained.cwd, 'runs', run)).modelSha256);
    }
    expect(new Set(results).size).toBe(1);
  });
});

describe('the types of the library', () => {
  it('refer to no other types of this program', () => {
    const folder = join(root, 'dist', 'cli', 'library');
    const declarations = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.d\.m?ts$/.test(file))
      .toSorted();
    expect(declarations).toEqual([
      'cli/library/generated-types.d.ts',
      'cli/library/index.d.ts',
      'cli/library/public-error.d.ts',
      'cli/library/public-types.d.ts',
    ]);
    for (const file of declarations)
      for (const [, target = ''] of readFileSync(join(root, 'dist', file), 'utf8').matchAll(
        /(?:from|import\() ?['"]([^'"]+)['"]/g,
      ))
        expect(existsSync(join(folder, target.replace(/\.js$/, '.d.ts'))), target).toBe(true);
  });
});
