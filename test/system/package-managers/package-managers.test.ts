import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheDirectory } from '../../../shared/disk/cache-directory.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE } from '../../fixtures/processes/options.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const NODES = join(root, '.mnist-dist', 'nodes');

interface Manager {
  readonly name: string;
  /** The package that brings it, with its version. */
  readonly source: string;
  /** Its script, below node_modules. */
  readonly script: string;
  readonly add: readonly string[];
  readonly scriptsOn: readonly string[];
  readonly scriptsOff: readonly string[];
}

const npm = {
  script: 'npm/bin/npm-cli.js',
  add: ['install', '--no-audit', '--no-fund'],
  scriptsOn: ['--ignore-scripts=false'],
  scriptsOff: ['--ignore-scripts'],
};
const managers: readonly Manager[] = [
  { name: 'npm 10', source: 'npm@10.9.9', ...npm },
  { name: 'npm 11', source: 'npm@11.21.2', ...npm },
  {
    name: 'pnpm',
    source: 'pnpm@10.34.9',
    script: 'pnpm/bin/pnpm.cjs',
    add: ['add'],
    scriptsOn: ['--config.dangerouslyAllowAllBuilds=true'],
    scriptsOff: ['--ignore-scripts'],
  },
  {
    name: 'yarn classic',
    source: 'yarn@1.22.22',
    script: 'yarn/bin/yarn.js',
    add: ['add', '--non-interactive'],
    scriptsOn: [],
    scriptsOff: ['--ignore-scripts'],
  },
];

let folder: string;
let tarball: string;
let registry: string;
let digest: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mnist-dist-managers-'));
  registry = (await run(root, 'npm', ['config', 'get', 'registry'])).trim();
  await run(root, 'npm', ['pack', '--ignore-scripts=false', '--pack-destination', folder]);
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '');
  digest = await trained(join(root, 'bin', 'mnist-dist.mjs'), ['--engine', 'wasm']);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program with an empty home, and resolves with what it printed. */
async function run(
  cwd: string,
  program: string,
  args: readonly string[],
  home = join(folder, 'home'),
): Promise<string> {
  mkdirSync(home, { recursive: true });
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm|pnpm|yarn)_/i.test(name),
  );
  const { stdout, stderr } = await promisify(execFile)(program, [...args], {
    cwd,
    maxBuffer: 64 * 1024 ** 2,
    env: {
      ...Object.fromEntries(inherited),
      ...(registry === undefined ? {} : { npm_config_registry: registry }),
      HOME: home,
      CI: 'true',
      MNIST_DIST_CACHE: cacheDirectory(),
    },
  });
  return stdout + stderr;
}

/** The SHA-256 of the model that a short run trains with an installed program. */
async function trained(
  program: string,
  settings: readonly string[],
  node = process.execPath,
): Promise<string> {
  const cwd = mkdtempSync(join(folder, 'run-'));
  const recipe = ['--steps', '40', '--no-http', '--run-id', 'r', '--port', '0', ...QUICK_RECIPE];
  const output = await run(cwd, node, [program, 'local', '-n', '2', ...settings, ...recipe]);
  expect(output).not.toMatch(/downloading|wasm engine:/);
  // The pictures need every package of Vega, and the font.
  expect(readdirSync(join(cwd, 'runs', 'r', 'artifacts'))).toContain('accuracy.png');
  return readRun(join(cwd, 'runs', 'r')).modelSha256;
}

describe.each(managers)('$name', ({ name, source, script, add, scriptsOn, scriptsOff }) => {
  let manager: string;
  beforeAll(async () => {
    const tools = join(folder, name);
    mkdirSync(tools);
    await run(tools, 'npm', ['install', '--prefix', tools, '--ignore-scripts', source]);
    manager = join(tools, 'node_modules', script);
  });

  it.each([
    ['off', scriptsOff],
    ['on', scriptsOn],
  ])(
    `installs ${source} with install scripts %s, and trains to the same bytes`,
    async (_, flags) => {
      const project = temporaryFolder();
      // npm 11 runs only the scripts that a project allows.
      const allowScripts = { 'msgpackr-extract': true };
      const description = { name: 'p', version: '1.0.0', private: true, allowScripts };
      writeFileSync(join(project, 'package.json'), JSON.stringify(description));
      const home = join(folder, `home of ${name}`);
      const args = [manager, ...add, ...flags, tarball];
      const output = await run(project, process.execPath, args, home);
      // Nothing is compiled; npm 11 mentions scripts that it does not run.
      expect(output).not.toMatch(/gyp (info|ERR)/);
      const installed = join(project, 'node_modules', 'mnist-dist');
      const program = join(installed, 'bin', 'mnist-dist.mjs');
      expect(
        await run(project, join(project, 'node_modules', '.bin', 'mnist-dist'), ['--version']),
      ).toBe(`${JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')).version}\n`);
      expect(await trained(program, ['--engine', 'wasm'])).toBe(digest);
      expect(await trained(program, ['--engine', 'tensorflow'])).toMatch(/^[0-9a-f]{64}$/);
    },
  );
});

it.skipIf(!existsSync(NODES))('gives one cache to Node 20, 22, 24 and 26', async () => {
  const prefix = join(folder, 'prefix');
  await run(folder, 'npm', ['install', '--global', '--prefix', prefix, tarball]);
  const program = join(prefix, 'bin', 'mnist-dist');
  const library = join(cacheDirectory(), 'libraries');
  const before = readdirSync(library);
  const digests = new Set<string>();
  for (const version of ['20.19', '22', '24', '26']) {
    const node = join(NODES, version, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
    digests.add(await trained(program, ['--engine', 'tensorflow'], node));
    expect(await trained(program, ['--engine', 'wasm'], node), version).toBe(digest);
  }
  expect(digests.size).toBe(1);
  expect(readdirSync(library)).toEqual(before);
});
