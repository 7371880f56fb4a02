import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, it } from 'vitest';
import { follow, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const ci = fileURLToPath(new URL('../../../.ci', import.meta.url));
const COPIED = '@tensorflow/tfjs-node-gpu';
const FONT = 'dejavu-fonts-ttf';
const TODAY = /\d{4}-\d{2}-\d{2}/;

/** A small package with the real release script, in its own git repository. */
let repository: string;
let temporary: string;

beforeEach(() => {
  const folder = temporaryFolder();
  repository = join(folder, 'clone');
  temporary = join(folder, 'tmp');
  for (const path of [temporary, join(repository, 'docs'), join(repository, 'deploy')])
    mkdirSync(path, { recursive: true });
  cpSync(ci, join(repository, '.ci'), { recursive: true });
  const description = {
    name: 'mnist-dist',
    version: '0.2.0',
    license: 'MIT',
    files: ['docs'],
    scripts: {
      release: 'node .ci/release.mjs',
      test: 'node -e "process.exit(+!!process.env.RED)"',
    },
    devDependencies: { [COPIED]: '4.22.0', [FONT]: '2.37.3' },
  };
  const copied = { version: '4.22.0', license: 'Apache-2.0', dev: true };
  const font = { version: '2.37.3', license: 'SEE LICENSE IN README.md', dev: true };
  const packages = {
    '': description,
    [`node_modules/${COPIED}`]: copied,
    [`node_modules/${FONT}`]: font,
  };
  write('package.json', JSON.stringify(description));
  write(
    'npm-shrinkwrap.json',
    JSON.stringify({ name: 'mnist-dist', version: '0.2.0', lockfileVersion: 3, packages }),
  );
  write('.gitignore', '.mnist-dist/\n');
  write('docs/images.md', 'mnist-dist:0.2.0-cpu in mnist-dist-0.2.0.tgz\n');
  write('deploy/job.yaml', 'image: registry.example/mnist-dist:0.2.0-cuda\n');
  write('CHANGELOG.md', '# Changelog\n\n## 0.3.0, unreleased\n\n- More.\n\n## 0.2.0\n\n- All.\n');
  git('init', '--quiet', '--initial-branch', 'main');
  git('config', 'user.name', 'A Maintainer');
  git('config', 'user.email', 'maintainer@example.org');
  commit();
});

function write(name: string, text: string): void {
  writeFileSync(join(repository, name), text);
}

const read = (name: string) => readFileSync(join(repository, name), 'utf8');

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: repository, encoding: 'utf8' }).trim();
}

function commit(): void {
  git('add', '--all');
  git('commit', '--quiet', '--message', 'a change');
}

const environment = (extra: NodeJS.ProcessEnv) => ({ ...process.env, TMPDIR: temporary, ...extra });

function release(args: readonly string[], extra: NodeJS.ProcessEnv = {}) {
  return new Promise<{ code: number; output: string }>((resolve) => {
    const options = { cwd: repository, env: environment(extra) };
    const script = join(repository, '.ci', 'release.mjs');
    execFile(process.execPath, [script, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

/** A release that the test interrupts. */
function startRelease(version: string): Started {
  const script = join(repository, '.ci', 'release.mjs');
  const child = spawn(process.execPath, [script, version], {
    cwd: repository,
    env: environment({}),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return follow(child);
}

/** Everything that a release may change, except for the files that it creates. */
const state = () => [git('rev-parse', 'HEAD'), git('tag'), git('status', '--porcelain')];
const leftovers = () => [
  ...readdirSync(temporary),
  ...git('worktree', 'list').split('\n').slice(1),
];

describe('npm run release', () => {
  it('tags a commit with the version, and writes a tarball, an SBOM and SHA256SUMS', async () => {
    const { code, output } = await release(['0.3.0']);
    expect(code, output).toBe(0);
    expect(git('log', '-1', '--format=%s %an')).toBe('release: 0.3.0 A Maintainer');
    expect(git('rev-parse', 'v0.3.0^{commit}')).toBe(git('rev-parse', 'HEAD'));
    expect(git('status', '--porcelain')).toBe('');
    for (const file of ['package.json', 'npm-shrinkwrap.json'])
      expect(JSON.parse(read(file)).version).toBe('0.3.0');
    expect(read('docs/images.md')).toBe('mnist-dist:0.3.0-cpu in mnist-dist-0.3.0.tgz\n');
    expect(read('deploy/job.yaml')).toBe('image: registry.example/mnist-dist:0.3.0-cuda\n');
    expect(read('CHANGELOG.md')).toMatch(new RegExp(`^## 0.3.0, ${TODAY.source}$`, 'm'));

    const out = join(repository, '.mnist-dist', 'releases', '0.3.0');
    const names = ['mnist-dist-0.3.0.tgz', 'mnist-dist-0.3.0.cdx.json'];
    const digest = (name: string) =>
      createHash('sha256')
        .update(readFileSync(join(out, name)))
        .digest('hex');
    expect(readFileSync(join(out, 'SHA256SUMS'), 'utf8')).toBe(
      names.map((name) => `${digest(name)}  ${name}\n`).join(''),
    );
    const bom = JSON.parse(readFileSync(join(out, names[1] ?? ''), 'utf8'));
    expect(bom.metadata.component).toMatchObject({ name: 'mnist-dist', version: '0.3.0' });
    expect(bom.components).toMatchObject([
      { name: COPIED, version: '4.22.0', licenses: [{ license: { id: 'Apache-2.0' } }] },
      { name: FONT, version: '2.37.3', licenses: [{ license: { name: 'Bitstream-Vera' } }] },
    ]);
    expect(output).toContain('  git push --atomic origin main v0.3.0\n');
    expect(output).toContain(`  npm publish ${join(out, names[0] ?? '')}\n`);
    expect(leftovers()).toEqual([]);

    const again = await release(['0.3.0']);
    expect(again.output).toMatch(/0\.3\.0 is not higher than 0\.3\.0, the latest tagged version/);
    const tagged = await release(['0.3.0', '--tagged']);
    expect(tagged.code, tagged.output).toBe(0);
    expect(tagged.output).not.toContain('git push');
  });

  it('changes nothing with --dry-run, and says what it would do', async () => {
    const before = state();
    const { code, output } = await release(['0.3.0', '--dry-run'], { RED: '1' });
    expect(code, output).toBe(0);
    expect(state()).toEqual(before);
    expect(output).toMatch(/would now run npm test/);
    expect(output).toMatch(/would now move main to its commit and tag it v0\.3\.0/);
    expect(existsSync(join(repository, '.mnist-dist'))).toBe(false);
    const [folder = ''] = readdirSync(temporary);
    expect(readdirSync(join(temporary, folder)).toSorted()).toEqual([
      'SHA256SUMS',
      'mnist-dist-0.3.0.cdx.json',
      'mnist-dist-0.3.0.tgz',
    ]);
    expect(git('worktree', 'list').split('\n')).toHaveLength(1);
  });

  it.each<[string, string[], RegExp, () => void]>([
    ['a changed file', ['0.3.0'], /not clean:\n M package/, () => write('package.json', '{}')],
    ['an untracked file', ['0.3.0'], /not clean:\n\?\? new/, () => write('new', '')],
    ['no version', [], /takes one version/, () => undefined],
    ['an unknown switch', ['0.3.0', '--force'], /takes one version/, () => undefined],
    ['an incomplete version', ['0.3'], /"0\.3" is not a version/, () => undefined],
    ['a version with a v', ['v0.3.0'], /"v0\.3\.0" is not a version/, () => undefined],
    ['a lower version', ['0.1.9'], /0\.1\.9 is lower than 0\.2\.0 in/, () => undefined],
    ['a tag of this version', ['0.3.0'], /not higher than 0\.10\.0/, () => git('tag', 'v0.10.0')],
    ['no section in CHANGELOG.md', ['0.4.0'], /no section "## 0\.4\.0"/, () => undefined],
    [
      'an empty section',
      ['0.4.0'],
      /CHANGELOG\.md section for 0\.4\.0 is empty/,
      () => {
        write('CHANGELOG.md', '# Changelog\n\n## 0.4.0, unreleased\n\n### Added\n');
        commit();
      },
    ],
    ['--tagged without the tag', ['0.3.0', '--tagged'], /HEAD is not release/, () => undefined],
  ])('refuses %s and changes nothing', async (_, args, says, prepare) => {
    prepare();
    const before = state();
    const { code, output } = await release(args);
    expect(output).toMatch(says);
    expect(output).toMatch(/\n {2}fix: /);
    expect(code).toBe(1);
    expect(state()).toEqual(before);
    expect(leftovers()).toEqual([]);
  });

  it('refuses a --dry-run that npm consumed', async () => {
    const { code, output } = await release(['0.3.0'], { npm_config_dry_run: 'true' });
    expect(code).toBe(1);
    expect(output).toMatch(/takes one version/);
  });

  it('changes nothing if a test fails', async () => {
    const before = state();
    const { code, output } = await release(['0.3.0'], { RED: '1' });
    expect(code).toBe(1);
    expect(output).toMatch(/npm test failed with exit code 1/);
    expect(state()).toEqual(before);
    expect(leftovers()).toEqual([]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('changes nothing if %s interrupts it', async (signal) => {
    const description = JSON.parse(read('package.json'));
    description.scripts.test = `node -e "console.log('testing'); setInterval(Date.now, 1000)"`;
    write('package.json', JSON.stringify(description));
    commit();
    const before = state();
    const followed = startRelease('0.3.0');
    await followed.says(/^testing$/m);
    followed.process.kill(signal);
    expect(await followed.exited).toBe(1);
    expect(followed.output()).toMatch(new RegExp(`interrupted by ${signal} during npm test`));
    expect(state()).toEqual(before);
    expect(leftovers()).toEqual([]);
  });

  it('ends only after the programs that it started, if it is interrupted', async () => {
    const ended = join(temporary, '..', 'ended');
    write(
      'patient.mjs',
      `import { writeFileSync } from 'node:fs';
       const end = () => { writeFileSync(${JSON.stringify(ended)}, ''); process.exit(); };
       process.on('SIGTERM', () => setTimeout(end, 500));
       console.log('testing');
       setInterval(Date.now, 1000);`,
    );
    const description = JSON.parse(read('package.json'));
    // npm and its shell end at once.
    description.scripts.test = 'node patient.mjs & wait';
    write('package.json', JSON.stringify(description));
    commit();
    const followed = startRelease('0.3.0');
    await followed.says(/^testing$/m);
    followed.process.kill('SIGTERM');
    expect(await once(followed.process, 'exit')).toEqual([1, null]);
    expect(existsSync(ended)).toBe(true);
    expect(leftovers()).toEqual([]);
  });
});
