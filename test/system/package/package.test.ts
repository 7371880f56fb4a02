import { execFile, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheDirectory } from '../../../shared/disk/cache-directory.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE } from '../../fixtures/processes/options.ts';
import { follow } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { startRegistry } from './registry.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const MAX_TARBALL_BYTES = 1.5e6;
const MAX_INSTALLED_BYTES = 260e6;
/** A user that may read the installation, but not write to it. */
const OTHER_USER = 65_534;
const asRoot = process.getuid?.() === 0;
/** Packages that a build needs and a run does not. */
const buildTools = ['typescript', 'assemblyscript', 'binaryen', 'vitest', 'prettier', 'oxlint'];

/** A program in TypeScript that uses the library. */
const USER = `
import { evaluate, loadModel, MnistDistError, predict, train } from 'mnist-dist';
import type { ErrorCode, Evaluation, TrainOptions } from 'mnist-dist';
const options: TrainOptions = { steps: 20, hidden: [16], optimizer: 'adamw', http: false };
// @ts-expect-error: there is no such optimizer
const wrong: TrainOptions = { optimizer: 'adamx' };
for await (const event of train(options))
  if (event.kind === 'step') event.learningRate?.toFixed();
  else event.set satisfies 'test' | 'validation';
const { modelFile } = await train({ ...wrong, signal: AbortSignal.timeout(1000) });
const evaluation: Evaluation = await evaluate(modelFile, { split: 'train' });
const model = await loadModel(modelFile);
model.predict(new Float32Array(model.rows * model.columns)).className.trim();
for (const { file } of await predict(['a.png'])) file.trim();
const code: ErrorCode = new MnistDistError('x', { code: 'USAGE', exitCode: 2 }).code;
export { code, evaluation };
`;

let folder: string;
let tarball: string;
/** A global installation, under a prefix whose path contains spaces and a non-ASCII letter. */
let prefix: string;
let installed: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mnist-dist-package-'));
  chmodSync(folder, 0o755);
  await npm(root, 'pack', '--ignore-scripts=false', '--pack-destination', folder);
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '');
  prefix = join(folder, 'préfix of a user');
  mkdirSync(prefix);
  const description = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const upstream = (await npm(root, 'config', 'get', 'registry')).trim();
  const { url, server } = await startRegistry(tarball, description, upstream);
  await npm(folder, 'install', '--global', '--prefix', prefix, '--registry', url, 'mnist-dist');
  server.close();
  installed = join(prefix, 'lib', 'node_modules', 'mnist-dist');
}, 300_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000);

/** Runs npm as on a fresh machine: with an empty home and a production environment. */
async function npm(cwd: string, ...args: string[]): Promise<string> {
  const home = join(folder, 'home');
  mkdirSync(home, { recursive: true });
  const { stdout } = await promisify(execFile)('npm', [...args, '--no-audit', '--no-fund'], {
    cwd,
    env: { ...withoutNpm(), HOME: home, NODE_ENV: 'production' },
  });
  return stdout;
}

/** The environment without npm's variables, which an npm that runs these tests would pass on. */
function withoutNpm(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')),
  );
}

/** Runs an installed mnist-dist in a new folder; TensorFlow is in the tests' cache. */
function runInstalled(program: string, args: readonly string[], options: object = {}) {
  const cwd = temporaryFolder();
  chmodSync(cwd, 0o777);
  const env = {
    ...withoutNpm(),
    HOME: cwd,
    NODE_ENV: 'production',
    MNIST_DIST_CACHE: cacheDirectory(),
    MNIST_DIST_PICTURES: 'no',
  };
  const child = spawn(program, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], ...options });
  return { ...follow(child), cwd };
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

const modelDigest = (folder: string) => readRun(join(folder, 'runs', 'r')).modelSha256;

const bytesBelow = (directory: string) =>
  filesBelow(directory).reduce((sum, file) => sum + statSync(file).size, 0);

describe('the package', () => {
  it('is small, and contains the build but no sources, tests or pictures', () => {
    expect(statSync(tarball).size).toBeLessThan(MAX_TARBALL_BYTES);
    expect(bytesBelow(installed)).toBeLessThan(MAX_INSTALLED_BYTES);
    const names = readdirSync(installed);
    for (const name of ['test', 'cli', 'tsconfig.json', '.ci']) expect(names).not.toContain(name);
    expect(readdirSync(join(installed, 'recipes'))).toEqual(['best.yaml', 'quickstart.yaml']);
    const own = filesBelow(installed).filter(
      (file) => !file.includes('/node_modules/mnist-dist/n'),
    );
    const types = join(installed, 'dist', 'cli', 'library');
    const others = own.filter((file) => !(file.startsWith(types) && file.endsWith('.d.ts')));
    expect(others.filter((file) => /\.(png|map|ts|tgz)$/.test(file))).toEqual([]);
    for (const tool of buildTools)
      expect(existsSync(join(installed, 'node_modules', tool)), tool).toBe(false);
  });

  it.each([
    ['publint', ['--strict']],
    // The package has ES modules only, which require() loads in Node 20.19.
    ['attw', ['--profile', 'esm-only', '--format', 'json']],
  ])('passes %s', async (program, args) => {
    // Both exit with another code if they find something.
    const { stdout } = await promisify(execFile)(join(root, 'node_modules', '.bin', program), [
      tarball,
      ...args,
    ]);
    expect(stdout).toMatch(/All good!|"kind": ?"included"/);
  });

  it('has the same build as the clone', () => {
    const built = filesBelow(join(root, 'dist')).filter((file) => !/\.(stamp|map)$/.test(file));
    const path = (file: string) => file.slice(join(root, 'dist').length);
    const packed = filesBelow(join(installed, 'dist'));
    expect(packed.length).toBe(built.length);
    for (const file of built)
      expect(readFileSync(file).equals(readFileSync(join(installed, 'dist', path(file))))).toBe(
        true,
      );
  });

  it('installs only versions from the lock file', () => {
    const lock = JSON.parse(readFileSync(join(root, 'npm-shrinkwrap.json'), 'utf8'));
    // npm may place a package elsewhere in the tree when the development packages are left out.
    const pinned = new Set(
      Object.entries<{ version: string }>(lock.packages).map(
        ([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`,
      ),
    );
    const found = filesBelow(join(installed, 'node_modules')).filter((file) =>
      /\/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(file),
    );
    expect(found.length).toBeGreaterThan(100);
    const others = found
      .map((file) => JSON.parse(readFileSync(file, 'utf8')))
      .map(({ name, version }) => `${name}@${version}`)
      .filter((each) => !pinned.has(each));
    expect(others).toEqual([]);
  });

  it.skipIf(!asRoot)(
    'trains with wasm for a user who may not write to it, from any folder',
    async () => {
      const program = join(prefix, 'bin', 'mnist-dist');
      const cache = temporaryFolder();
      chmodSync(cache, 0o777);
      const trained = runInstalled(
        program,
        ['local', '-n', '2', '--steps', '20', '--engine', 'wasm', '--no-http', '--run-id', 'r'],
        {
          uid: OTHER_USER,
          gid: OTHER_USER,
          env: { PATH: process.env['PATH'], HOME: cache, MNIST_DIST_PICTURES: 'no' },
        },
      );
      expect(await trained.exited, trained.output()).toBe(0);
      expect(existsSync(join(trained.cwd, 'runs', 'r', 'model.safetensors'))).toBe(true);
    },
  );

  it('trains to the same bytes as the clone, and its workers join over TLS', async () => {
    const program = join(prefix, 'bin', 'mnist-dist');
    const recipe = ['--steps', '40', '--no-http', '--run-id', 'r', ...QUICK_RECIPE];
    const local = runInstalled(program, ['local', '-n', '2', ...recipe]);
    expect(await local.exited, local.output()).toBe(0);

    const clone = runInstalled(process.execPath, [
      join(root, 'bin', 'mnist-dist.mjs'),
      'local',
      '-n',
      '1',
      ...recipe,
    ]);
    expect(await clone.exited, clone.output()).toBe(0);
    const digest = modelDigest(local.cwd);
    expect(modelDigest(clone.cwd)).toBe(digest);

    const certs = runInstalled(program, ['certs', '127.0.0.1']);
    expect(await certs.exited, certs.output()).toBe(0);
    const file = (name: string) => join(certs.cwd, 'certs', name);
    const coordinator = runInstalled(program, [
      'coordinator',
      '--port',
      '0',
      '--ssl-certfile',
      file('coordinator.crt'),
      '--ssl-keyfile',
      file('coordinator.key'),
      ...recipe,
    ]);
    await coordinator.says(/waiting for a worker/);
    const joinString = readFileSync(join(coordinator.cwd, 'runs', 'r', 'join'), 'utf8').trim();
    const worker = spawn(program, ['worker', '--join', '-'], {
      cwd: coordinator.cwd,
      env: { ...withoutNpm(), MNIST_DIST_CACHE: cacheDirectory() },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const joined = follow(worker, joinString);
    expect(await coordinator.exited, coordinator.output() + joined.output()).toBe(0);
    expect(await joined.exited).toBe(0);
    expect(modelDigest(coordinator.cwd)).toBe(digest);
  });

  it('works as a dependency of a project', async () => {
    const project = temporaryFolder();
    writeFileSync(join(project, 'package.json'), '{"name":"p","private":true}');
    await npm(project, 'install', '--ignore-scripts', '--prefer-offline', tarball);
    const program = join(project, 'node_modules', '.bin', 'mnist-dist');
    const trained = runInstalled(program, ['local', '--steps', '20', '--no-http', '-n', '1']);
    expect(await trained.exited, trained.output()).toBe(0);
    cpSync(join(root, 'docs', 'examples'), project, { recursive: true });
    const example = runInstalled(process.execPath, [join(project, 'train.mjs'), '20']);
    expect(await example.exited, example.output()).toBe(0);
    writeFileSync(join(project, 'user.mts'), USER);
    const tsc = join(root, 'node_modules', '.bin', 'tsc');
    const flags = ['--strict', '--noEmit', '--target', 'es2023', '--module', 'nodenext'];
    const typeRoots = ['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node'];
    const compiled = runInstalled(tsc, [...flags, ...typeRoots, join(project, 'user.mts')]);
    expect(await compiled.exited, compiled.output()).toBe(0);
    const doctor = runInstalled(program, ['doctor']);
    expect(await doctor.exited, doctor.output()).toBe(0);
  });

  it('reports a missing build when it was packed without one', async () => {
    const empty = temporaryFolder();
    cpSync(join(installed, 'bin'), join(empty, 'bin'), { recursive: true });
    copyFileSync(join(installed, 'package.json'), join(empty, 'package.json'));
    const started = runInstalled(process.execPath, [join(empty, 'bin', 'mnist-dist.mjs'), 'local']);
    expect(await started.exited).toBe(10);
    expect(started.output()).toMatch(/packed without its build, or is damaged\n {2}fix: Install/);
  });
});
