// `npm run release -- X.Y.Z [--dry-run | --tagged]`: makes a release in a worktree of its own, so
// that a release that fails or is interrupted leaves the user's branch and files as they were.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { foundLicences } from './licences.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const SEMVER = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/;
/** Where the version stands beside package.json, and in which words; the release replaces it. */
const mentions = {
  pathspecs: ['deploy', 'docs', 'README.md'],
  word: /\bmnist-dist:\d+\.\d+\.\d+/g,
};

/** A reason not to release, printed without a stack trace. */
class ReleaseError extends Error {
  constructor(message, fix) {
    super(message);
    this.fix = fix;
  }
}

/** The running program, and the signal that interrupted the release. */
let child;
let interruption;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    interruption ??= signal;
    // The programs that it started are in its process group.
    const isRunning = child?.pid !== undefined && (child.exitCode ?? child.signalCode) === null;
    if (isRunning) process.kill(-child.pid, 'SIGTERM');
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
    'npm run release -- X.Y.Z, with --dry-run, or with --tagged to pack a version that has its tag',
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
  // Without the two dashes before it, npm takes the switch for its own.
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
    // Before it packs a tag, the workflow runs the tests.
    if (isDry) say('dry run: a release would now run npm test');
    else if (!isTagged) await run('npm test', worktree, ['npm', 'test']);
    const out = isDry ? folder : join(root, '.mnist-dist', 'releases', version);
    await pack(worktree, out);
    if (!isTagged) await finish({ version, isDry, commit, out });
    isKept = isDry;
  } finally {
    // An interrupted program may take a moment to end, and still write files.
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
    'commit or stash these changes; a release contains nothing else',
  );
}

/** The version must be higher than every release, and not lower than the one in package.json. */
async function checkVersion(version) {
  const tags = (await git('tag', '--list', 'v*')).split('\n');
  const released = tags.map((tag) => tag.slice(1)).filter((name) => SEMVER.test(name));
  const current = packageOf(root).version;
  const last = released.toSorted(compare).at(-1);
  if (last !== undefined && compare(version, last) <= 0)
    throw new ReleaseError(
      `version ${version} is not higher than ${last}, the last one with a tag`,
      'choose a higher version; ARCHITECTURE says what each of its numbers means',
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
    `check out v${version}, which npm run release -- ${version} makes`,
  );
}

function checkChangelog(version, isTagged) {
  const section = sectionOf(read(join(root, 'CHANGELOG.md')), version);
  if (section === undefined)
    throw new ReleaseError(
      `CHANGELOG.md has no section "## ${version}"`,
      `add "## ${version}, unreleased" and what changed; the release writes the date`,
    );
  if (section.text === '')
    throw new ReleaseError(
      `the section of ${version} in CHANGELOG.md is empty`,
      'write what changed for users',
    );
  if (isTagged && /unreleased/i.test(section.heading))
    throw new ReleaseError(
      `CHANGELOG.md calls ${version} unreleased`,
      `make the tag with npm run release -- ${version}`,
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
  // npm sets it in npm-shrinkwrap.json as well.
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
    const after = before.replaceAll(mentions.word, `mnist-dist:${version}`);
    if (after !== before) writeFileSync(path, after);
  }
  if ((await gitIn(worktree, 'status', '--porcelain')) !== '')
    await gitIn(worktree, 'commit', '--quiet', '--all', '--message', `release: ${version}`);
  return await gitIn(worktree, 'rev-parse', 'HEAD');
}

/**
 * Moves the branch to the commit and tags it. The tag comes last: without it, the same command can
 * run again.
 */
async function finish({ version, isDry, commit, out }) {
  const tag = `v${version}`;
  const branch = await git('rev-parse', '--abbrev-ref', 'HEAD');
  if (isDry) say(`dry run: a release would now move ${branch} to its commit, with the tag ${tag}`);
  else {
    await git('merge', '--quiet', '--ff-only', commit);
    await git('tag', '--annotate', tag, '--message', `mnist-dist ${version}`, commit);
  }
  const tarball = readdirSync(out).find((name) => name.endsWith('.tgz'));
  say('\nTwo commands are left to a person:');
  say(`  git push --atomic origin ${branch} ${tag}`);
  say(`  npm publish ${join(out, tarball)}`);
}

// --- the files of a release

/** Writes the tarball, its SBOM and their SHA256SUMS to `out`. */
async function pack(worktree, out) {
  mkdirSync(out, { recursive: true });
  for (const old of readdirSync(out).filter((name) => /\.(tgz|json)$/.test(name)))
    rmSync(join(out, old));
  // Scripts are needed: prepack installs and builds what is missing.
  const command = ['npm', 'pack', '--ignore-scripts=false', '--pack-destination', out];
  await run('npm pack', worktree, command);
  const tarball = readdirSync(out).find((name) => name.endsWith('.tgz'));
  const bom = tarball.replace(/\.tgz$/, '.cdx.json');
  writeFileSync(join(out, bom), `${JSON.stringify(await bomOf(worktree), undefined, 2)}\n`);
  const sums = [tarball, bom].map((name) => `${digestOf(join(out, name))}  ${name}\n`).join('');
  writeFileSync(join(out, 'SHA256SUMS'), sums);
  say(`${join(out, 'SHA256SUMS')}:\n${sums.trimEnd()}`);
}

/**
 * The SBOM of what is shipped: npm's, and the package whose parts the build copies to dist, which
 * npm knows only as a development package.
 */
async function bomOf(worktree) {
  const command = 'npm sbom --sbom-format cyclonedx --omit dev --package-lock-only';
  const bom = JSON.parse(await run('npm sbom', worktree, command.split(' ')));
  // npm takes the name of the folder.
  bom.metadata.component.name = packageOf(worktree).name;
  for (const component of bom.components) {
    const found = foundLicences[component.name];
    if (found !== undefined) component.licenses = [{ license: { name: found.licence } }];
  }
  const name = '@tensorflow/tfjs-node-gpu';
  const lock = JSON.parse(read(join(worktree, 'npm-shrinkwrap.json')));
  const copied = lock.packages[`node_modules/${name}`];
  if (copied === undefined) return bom;
  const purl = `pkg:npm/${name.replace('@', '%40')}@${copied.version}`;
  bom.components.push({
    'bom-ref': `${name}@${copied.version}`,
    type: 'library',
    name,
    version: copied.version,
    description: 'Parts of it: the sources of its binding, and api_pb.js, in dist/tfjs-node-gpu.',
    scope: 'required',
    licenses: [{ license: { id: copied.license } }],
    purl,
  });
  const own = bom.dependencies.find(({ ref }) => ref === bom.metadata.component['bom-ref']);
  own.dependsOn.push(`${name}@${copied.version}`);
  return bom;
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

/** Runs a program. Resolves with its stdout, except for npm test, which prints it. */
async function run(what, cwd, [program, ...args]) {
  const stdout = what === 'npm test' ? 'inherit' : 'pipe';
  child = spawn(program, args, { cwd, stdio: ['ignore', stdout, 'inherit'], detached: true });
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => (output += text));
  const [status] = await once(child, 'close');
  if (status === 0 && interruption === undefined) return output;
  throw new ReleaseError(
    interruption === undefined
      ? `${what} failed with exit code ${status}`
      : `the release was interrupted by ${interruption} during ${what}`,
    'see the lines above, then run the same command again',
  );
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
