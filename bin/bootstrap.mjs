import { spawn } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endWithUs, spawnOptions } from './hang-up.mjs';
import { LockError, withLock } from './lock.mjs';
import {
  dist,
  hasDist,
  isBuilt,
  isInstalled,
  isPackage,
  lockDigest,
  quoted,
  root,
  SetupError,
  sourcesDigest,
  stampFile,
} from './prepared.mjs';

/**
 * Installs the npm packages and builds the code, which a fresh clone needs before any TypeScript
 * can run. This module uses only Node's own modules. TensorFlow is set up later, by the built code
 * (worker/native).
 */
export { root, SetupError };
/** The exit code of SETUP in shared/errors.ts. */
export const SETUP_EXIT_CODE = 10;

/** Error codes for a full disk and an exhausted quota. */
const FULL_DISK = new Set(['ENOSPC', 'EDQUOT']);

const work = join(root, '.mnist-dist');

// A broken output, such as a closed pipe or a full disk, must not end set-up, which would leave its
// lock and the programs that it started.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

/**
 * Installs and builds everything that is missing or outdated. Takes only a few milliseconds if
 * everything is up to date. `say` receives one line for each long step. Throws SetupError.
 */
export async function prepare(say = print) {
  if (isPackage()) return requireDist();
  if (isInstalled() && isBuilt()) return;
  const sayWaiting = (line) => say(`mnist-dist: ${line}`);
  try {
    await withLock(join(work, 'lock'), (lease) => installAndBuild(say, lease), sayWaiting);
  } catch (error) {
    if (error instanceof LockError) throw new SetupError(error.message, error.fix);
    if (error instanceof SetupError || error.code === undefined) throw error;
    throw new SetupError(`set-up cannot write to ${root}: ${error.message}`, fixFor(error.code));
  }
}

/** Prints an error from prepare() and returns the exit code. */
export function explain(error) {
  if (!(error instanceof SetupError)) throw error;
  print(`error: ${error.message}${error.fix === undefined ? '' : `\n  fix: ${error.fix}`}`);
  return SETUP_EXIT_CODE;
}

function fixFor(code) {
  if (code === 'EFBIG') return 'raise the limit on the size of files: ulimit -f unlimited';
  return FULL_DISK.has(code) ? 'free disk space' : 'use a folder that you can write to';
}

async function installAndBuild(say, lease) {
  if (!isInstalled()) await install(say, lease);
  if (!isBuilt()) await build(say, lease);
}

function requireDist() {
  if (hasDist()) return;
  throw new SetupError(
    `${dist} is missing: the package was packed without its build, or is damaged`,
    'Install it again. In a clone, `npm pack --ignore-scripts=false` runs the build first.',
  );
}

// --- npm packages

async function install(say, lease) {
  const npm = npmCommand();
  say(
    'mnist-dist: installing the npm packages once (npm ci: about 240 MB to download, ' +
      '630 MB on disk)',
  );
  const started = Date.now();
  // --include=dev: `npm test` needs the dev dependencies, regardless of NODE_ENV.
  const { status, output } = await run([
    ...npm,
    'ci',
    '--include=dev',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]);
  if (status !== 0) throw npmFailure(output);
  lease.check();
  writeFileSync(stampFile(), lockDigest());
  say(`mnist-dist: npm packages installed in ${seconds(started)} s`);
}

/** The npm that started this process, or else an npm on PATH or next to Node. */
function npmCommand() {
  const started = process.env.npm_execpath;
  if (started !== undefined && /npm-cli\.c?js$/.test(started) && existsSync(started))
    return [process.execPath, started];
  const places = [...(process.env.PATH ?? '').split(delimiter), dirname(process.execPath)];
  const found = places.map((place) => join(place, 'npm')).find((file) => existsSync(file));
  if (found !== undefined) return [found];
  throw new SetupError(
    'npm was not found on PATH',
    'install npm (it comes with Node from https://nodejs.org), then try again',
  );
}

/** The command that the user can type into the shell to install the packages. */
function installCommand() {
  const { npm_command: npm, INIT_CWD: folder } = process.env;
  // npm runs scripts in the package's folder rather than in the shell's current folder.
  const shell = npm === undefined || !folder ? process.cwd() : folder;
  return `npm ${shell === root ? '' : `--prefix ${quoted(root)} `}ci --include=dev`;
}

function npmFailure(output) {
  const lines = output.split('\n').filter((line) => /npm (err|error)/i.test(line));
  const said = lines
    .map((line) => line.replace(/^npm (error|err!?) ?/i, '').trim())
    .filter((line) => line !== '' && !/complete log of this run/.test(line))
    .slice(0, 3)
    .join(' | ');
  if (
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET|network/i.test(
      output,
    )
  ) {
    return new SetupError(
      `the npm registry could not be reached, so the packages are not installed: ${said}`,
      'check the connection and the proxy and registry settings (npm config list), then run ' +
        'again: ' +
        installCommand(),
    );
  }
  return new SetupError(
    `npm ci failed: ${said === '' ? output.slice(-500) : said}`,
    `for the full output, run: ${installCommand()}`,
  );
}

// --- the build

/**
 * Builds in a separate folder and renames it to dist/, so that a half-finished build is never used.
 */
async function build(say, lease) {
  say('mnist-dist: building');
  const started = Date.now();
  // Computed first, so that an edit during the build triggers another build.
  const digest = sourcesDigest();
  const fresh = join(lease.folder, 'dist');
  const kernels = join('shared', 'kernels');
  mkdirSync(join(fresh, kernels), { recursive: true });
  const tsc = [process.execPath, join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p'];
  const results = await Promise.all([
    run([
      process.execPath,
      join(root, 'node_modules', 'assemblyscript', 'bin', 'asc.js'),
      '--config',
      join(kernels, 'asconfig.json'),
      '--outFile',
      join(fresh, kernels, 'kernels.wasm'),
    ]),
    run([...tsc, 'tsconfig.json', '--declaration', '--outDir', fresh]),
    // Has its own output folder, because both builds compile the types that they share.
    run([...tsc, join('dashboards', 'page', 'tsconfig.json'), '--outDir', join(fresh, 'browser')]),
  ]);
  const failed = results.find(({ status }) => status !== 0);
  if (failed !== undefined) {
    const said = failed.output.trim().split('\n').slice(0, 20).join('\n    ');
    throw new SetupError(
      `the build failed:\n    ${said}`,
      `undo your last change (see git status), or reinstall the packages: ${installCommand()}`,
    );
  }
  keepPublicTypes(fresh);
  copyTfjsNode(join(fresh, 'tfjs-node-gpu'));
  copyFont(join(fresh, 'font'));
  await writeHelp(join(fresh, 'cli'));
  writeFileSync(join(fresh, '.stamp'), digest);
  lease.replace(fresh, dist);
  say(`mnist-dist: built in ${seconds(started)} s`);
}

/**
 * Removes the declarations (.d.ts) that the library's entry does not refer to, and makes the others
 * refer to each other by the names of the compiled files.
 */
function keepPublicTypes(fresh) {
  const kept = new Set([join(fresh, 'cli', 'library', 'index.d.ts')]);
  for (const file of kept) {
    const text = readFileSync(file, 'utf8').replaceAll(
      /(?<=from ['"]\.[^'"]*)\.ts(?=['"])/g,
      '.js',
    );
    writeFileSync(file, text);
    for (const [, target] of text.matchAll(/(?:from|import\() ?['"](\.[^'"]*)\.js['"]/g))
      kept.add(join(dirname(file), `${target}.d.ts`));
  }
  for (const name of readdirSync(fresh, { recursive: true })) {
    const file = join(fresh, name);
    if (/\.d\.m?ts$/.test(name) && !kept.has(file)) rmSync(file);
  }
}

/**
 * Copies the part of tfjs-node-gpu that the engine uses: the sources of its binding. The package
 * itself depends on 240 MB of packages that are never loaded, so it is needed only to build.
 */
function copyTfjsNode(target) {
  const source = join(root, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
  cpSync(join(source, 'binding'), join(target, 'binding'), { recursive: true });
  const { name, version, license, repository, binary } = JSON.parse(
    readFileSync(join(source, 'package.json'), 'utf8'),
  );
  const description = { name, version, license, repository, binary, type: 'commonjs' };
  writeFileSync(join(target, 'package.json'), `${JSON.stringify(description, undefined, 2)}\n`);
}

/**
 * Copies the one font that the pictures use, with its licence; its package has 22 fonts in 12 MB.
 */
function copyFont(target) {
  const source = join(root, 'node_modules', 'dejavu-fonts-ttf');
  mkdirSync(target);
  copyFileSync(join(source, 'ttf', 'DejaVuSans.ttf'), join(target, 'DejaVuSans.ttf'));
  copyFileSync(join(source, 'LICENSE'), join(target, 'LICENSE'));
}

/** Writes the texts that cli/printed-help.ts prints, from the table of options. */
async function writeHelp(cli) {
  const { helpTexts } = await import(pathToFileURL(join(cli, 'help-texts.js')).href);
  writeFileSync(join(cli, 'help.json'), `${JSON.stringify(helpTexts())}\n`);
}

// --- helpers

/**
 * Prints text from npm, a compiler or a file, with control characters replaced (as in
 * shared/printable.ts).
 */
function print(text) {
  try {
    process.stderr.write(`${text.replace(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd')}\n`);
  } catch {
    // Node throws some errors of a file or a device at once.
  }
}

/**
 * Runs a program in the root folder; its stdout and stderr are captured together for error
 * messages.
 */
function run([program, ...rest]) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...spawnOptions,
    });
    endWithUs(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-100_000);
      });
    }
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, output }));
  });
}

function seconds(since) {
  return ((Date.now() - since) / 1000).toFixed(1);
}
