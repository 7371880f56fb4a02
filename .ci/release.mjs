// `npm run release -- X.Y.Z [--dry-run | --tagged]`: makes a release in a separate worktree. A
// release that fails or is interrupted leaves the user's branch and files untouched.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { foundLicences } from './licences.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SEMVER = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/;
/**
 * Files outside package.json that may mention the version, and the pattern that the release
 * updates, which matches image and tarball names.
 */
const mentions = {
  pathspecs: ['deploy', 'docs', 'README.md'],
  word: /\b(mnist-dist[:-])\d+\.\d+\.\d+/g,
};

/**
 * The packages from which the build copies parts to dist; npm knows them only as development
 * dependencies. Each description says which parts are shipped.
 */
const copiedPackages = {
  '@tensorflow/tfjs-node-gpu': 'Only its binding sources are shipped, in dist/tfjs-node-gpu.',
  'dejavu-fonts-ttf': 'Only DejaVuSans.ttf and its LICENSE are shipped, in dist/font.',
};

/** A reason not to release, printed without a stack trace. */
class ReleaseError extends Error {
  constructor(message, fix) {
    super(message);
    this.fix = fix;
  }
}

/** How long a program may take to end after a signal: longer than a set-up that it runs. */
const ENDING_MILLISECONDS = 15_000;
/** The running program, and the signal that interrupted the release. */
let child;
let interruption;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    const isFirst = interruption === undefined;
    interruption ??= signal;
    const { pid } = child ?? {};
    signalGroup(pid, isFirst ? 'SIGTERM' : 'SIGKILL');
    if (isFirst) setTimeout(() => signalGroup(pid, 'SIGKILL'), ENDING_MILLISECONDS).unref();
  });

try {
  await release(argumentsOf(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof ReleaseError)) throw error;
  process.stderr.write(`error: ${error.message}\n  fix: ${error.fix}\n`);
  process.exitCode = 1;
}

function argumentsOf(argv) {
  const usage = new ReleaseError(
    `npm run release takes one version and at most one switch, not "${argv.join(' ')}"`,
    'use npm run release -- X.Y.Z [--dry-run | --tagged]; --tagged packs an existing tag',
  );
  const switches = { 'dry-run': { type: 'boolean' }, tagged: { type: 'boolean' } };
  let parsed;
  try {
    parsed = parseArgs({ args: argv, options: switches, allowPositionals: true });
  } catch {
    throw usage;
  }
  const { values, positionals } = parsed;
  if (positionals.length !== 1 || (values['dry-run'] && values.tagged)) throw usage;
  // Unless `--` precedes the switch, npm treats it as its own.
  if (process.env.npm_config_dry_run === 'true' && !values['dry-run']) throw usage;
  const [version] = positionals;
  if (!SEMVER.test(version))
    throw new ReleaseError(`"${version}" is not a version`, 'write three numbers, such as 1.2.3');
  return { version, isDry: values['dry-run'] === true, isTagged: values.tagged === true };
}

async function release({ version, isDry, isTagged }) {
  await checkTree();
  if (isTagged) await checkTag(version);
  else await checkVersion(version);
  checkChangelog(version, isTagged);
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-release-'));
  const worktree = join(folder, 'worktree');
  let isKept = false;
  try {
    await git('worktree', 'add', '--quiet', '--detach', worktree, 'HEAD');
    const commit = isTagged ? 'HEAD' : await commitVersion(worktree, version);
    // With --tagged, the release workflow has already run the tests.
    if (isDry) say('dry run: a release would now run npm test');
    else if (!isTagged) await run('npm test', worktree, ['npm', 'test']);
    const out = isDry ? folder : join(root, '.mnist-dist', 'releases', version);
    await pack(worktree, out);
    if (!isTagged) await finish({ version, isDry, commit, out });
    isKept = isDry;
  } finally {
    // An interrupted program may write more files before it exits.
    const patience = { maxRetries: 20, retryDelay: 100 };
    rmSync(isKept ? worktree : folder, { recursive: true, force: true, ...patience });
    spawnSync('git', ['worktree', 'prune'], { cwd: root });
  }
}

// --- checks

async function checkTree() {
  const changed = await git('status', '--porcelain');
  if (changed === '') return;
  throw new ReleaseError(
    `the tree is not clean:\n${changed}`,
    'commit or stash these changes: a release contains only committed files',
  );
}

/**
 * The version must be higher than every tagged version and not lower than the one in package.json.
 */
async function checkVersion(version) {
  const tags = (await git('tag', '--list', 'v*')).split('\n');
  const released = tags.map((tag) => tag.slice(1)).filter((name) => SEMVER.test(name));
  const current = packageOf(root).version;
  const last = released.toSorted(compare).at(-1);
  if (last !== undefined && compare(version, last) <= 0)
    throw new ReleaseError(
      `version ${version} is not higher than ${last}, the latest tagged version`,
      'choose a higher version; docs/spec/compatibility.md explains what each number means',
    );
  if (compare(version, current) < 0)
    throw new ReleaseError(
      `version ${version} is lower than ${current} in package.json`,
      `release ${current} or a higher version`,
    );
}

async function checkTag(version) {
  const tags = (await git('tag', '--points-at', 'HEAD')).split('\n');
  const { version: current } = packageOf(root);
  if (tags.includes(`v${version}`) && current === version) return;
  throw new ReleaseError(
    `HEAD is not release ${version}: its tags are "${tags.join(' ')}", and package.json has ` +
      `version ${current}`,
    `check out v${version}; npm run release -- ${version} creates that tag`,
  );
}

function checkChangelog(version, isTagged) {
  const section = sectionOf(read(join(root, 'CHANGELOG.md')), version);
  if (section === undefined)
    throw new ReleaseError(
      `CHANGELOG.md has no section "## ${version}"`,
      `add "## ${version}, unreleased" and list the changes; the release fills in the date`,
    );
  if (section.text === '')
    throw new ReleaseError(
      `the CHANGELOG.md section for ${version} is empty`,
      'write what changed for users',
    );
  if (isTagged && /unreleased/i.test(section.heading))
    throw new ReleaseError(
      `CHANGELOG.md still marks ${version} as unreleased`,
      `create the tag with npm run release -- ${version}`,
    );
}

/** The heading of a version's section and the text below it. */
function sectionOf(changelog, version) {
  const parts = changelog.split(/^(?=## )/m);
  const found = parts.find((part) => /^## (\S+?),?\s/.exec(part)?.[1] === version);
  if (found === undefined) return undefined;
  const [heading, ...lines] = found.split('\n');
  return {
    heading,
    text: lines
      .filter((line) => !line.startsWith('#'))
      .join('\n')
      .trim(),
  };
}

function compare(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  const i = left.findIndex((number, index) => number !== right[index]);
  return i === -1 ? 0 : left[i] - right[i];
}

// --- the commit and its tag

/** Sets the version in the worktree and commits it there; returns the commit. */
async function commitVersion(worktree, version) {
  const { version: current } = packageOf(worktree);
  // `npm version` updates npm-shrinkwrap.json as well.
  if (current !== version)
    await run('npm version', worktree, ['npm', 'version', version, '--no-git-tag-version']);
  const changelog = join(worktree, 'CHANGELOG.md');
  const text = read(changelog);
  const { heading } = sectionOf(text, version);
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync(changelog, text.replace(heading, heading.replace('unreleased', date)));
  const files = (await gitIn(worktree, 'ls-files', '--', ...mentions.pathspecs)).split('\n');
  for (const file of files.filter((name) => /\.(md|ya?ml|sh|bash|sbatch)$/.test(name))) {
    const path = join(worktree, file);
    const before = read(path);
    const after = before.replaceAll(mentions.word, `$1${version}`);
    if (after !== before) writeFileSync(path, after);
  }
  if ((await gitIn(worktree, 'status', '--porcelain')) !== '')
    await gitIn(worktree, 'commit', '--quiet', '--all', '--message', `release: ${version}`);
  return await gitIn(worktree, 'rev-parse', 'HEAD');
}

/**
 * Moves the branch to the release commit and tags it. The tag comes last, so that the same command
 * can run again after a failure.
 */
async function finish({ version, isDry, commit, out }) {
  const tag = `v${version}`;
  const branch = await git('rev-parse', '--abbrev-ref', 'HEAD');
  if (isDry) say(`dry run: a release would now move ${branch} to its commit and tag it ${tag}`);
  else {
    await git('merge', '--quiet', '--ff-only', commit);
    await git('tag', '--annotate', tag, '--message', `mnist-dist ${version}`, commit);
  }
  const tarball = readdirSync(out).find((name) => name.endsWith('.tgz'));
  say('\nTo publish the release, run:');
  say(`  git push --atomic origin ${branch} ${tag}`);
  say(`  npm publish ${join(out, tarball)}`);
}

// --- the files of a release

/** Writes the tarball, its SBOM and their SHA256SUMS to `out`. */
async function pack(worktree, out) {
  mkdirSync(out, { recursive: true });
  for (const old of readdirSync(out).filter((name) => /\.(tgz|json)$/.test(name)))
    rmSync(join(out, old));
  // Scripts must run, because prepack installs and builds whatever is missing.
  const command = ['npm', 'pack', '--ignore-scripts=false', '--pack-destination', out];
  await run('npm pack', worktree, command);
  const tarball = readdirSync(out).find((name) => name.endsWith('.tgz'));
  const bom = tarball.replace(/\.tgz$/, '.cdx.json');
  writeFileSync(join(out, bom), `${JSON.stringify(await bomOf(worktree), undefined, 2)}\n`);
  const sums = [tarball, bom].map((name) => `${digestOf(join(out, name))}  ${name}\n`).join('');
  writeFileSync(join(out, 'SHA256SUMS'), sums);
  say(`${join(out, 'SHA256SUMS')}:\n${sums.trimEnd()}`);
}

/** The SBOM of the shipped files: npm's SBOM plus the packages from which the build copies parts. */
async function bomOf(worktree) {
  const command = 'npm sbom --sbom-format cyclonedx --omit dev --package-lock-only';
  const bom = JSON.parse(await run('npm sbom', worktree, command.split(' ')));
  // `npm sbom` names the component after the folder.
  bom.metadata.component.name = packageOf(worktree).name;
  const lock = JSON.parse(read(join(worktree, 'npm-shrinkwrap.json')));
  for (const [name, description] of Object.entries(copiedPackages))
    addCopied(bom, { name, description, entry: lock.packages[`node_modules/${name}`] });
  for (const component of bom.components) {
    const found = foundLicences[component.name];
    if (found !== undefined) component.licenses = [{ license: { name: found.licence } }];
  }
  return bom;
}

function addCopied(bom, { name, description, entry }) {
  if (entry === undefined) return;
  const { version, license } = entry;
  const reference = `${name}@${version}`;
  bom.components.push({
    'bom-ref': reference,
    type: 'library',
    name,
    version,
    description,
    scope: 'required',
    licenses: [{ license: { id: license } }],
    purl: `pkg:npm/${name.replace('@', '%40')}@${version}`,
  });
  const own = bom.dependencies.find(({ ref }) => ref === bom.metadata.component['bom-ref']);
  own.dependsOn.push(reference);
}

function digestOf(file) {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

// --- helpers

function packageOf(folder) {
  return JSON.parse(read(join(folder, 'package.json')));
}

function read(file) {
  return readFileSync(file, 'utf8');
}

function git(...args) {
  return gitIn(root, ...args);
}

async function gitIn(folder, ...args) {
  return (await run(`git ${args[0]}`, folder, ['git', ...args])).trimEnd();
}

/** Runs a program. Resolves with its stdout, except for npm test, whose output is printed. */
async function run(what, cwd, [program, ...args]) {
  const stdout = what === 'npm test' ? 'inherit' : 'pipe';
  child = spawn(program, args, { cwd, stdio: ['ignore', stdout, 'inherit'], detached: true });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => (output += text));
  const [status] = await once(child, 'close');
  if (interruption !== undefined) await endOfGroup(child.pid);
  if (status === 0 && interruption === undefined) return output;
  throw new ReleaseError(
    interruption === undefined
      ? `${what} failed with exit code ${status}`
      : `the release was interrupted by ${interruption} during ${what}`,
    'see the output above, then run the same command again',
  );
}

/**
 * Sends a signal to a program and the programs that it started. Returns false if all of them have
 * ended.
 */
function signalGroup(pid, signal) {
  if (pid === undefined) return false;
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

async function endOfGroup(pid) {
  while (signalGroup(pid, 0)) await sleep(50);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
