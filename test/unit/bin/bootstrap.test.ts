import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { thisProcess } from '../../../bin/owner.mjs';

/**
 * A small checkout with a copy of bin/ and fake versions of npm, tsc and asc. Each fake appends a
 * line to `calls`; the file `fail` names the fake that must fail.
 */
let checkout: string;

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), 'mnist-dist-checkout-'));
  cpSync(join(import.meta.dirname, '../../../bin'), join(checkout, 'bin'), { recursive: true });
  write('npm-shrinkwrap.json', '{"packages":{"":{}}}');
  write('package.json', '{"type":"module"}');
  write('tsconfig.json', '{"include":["cli","dashboards"]}');
  write('cli/main.ts', 'one');
  write('dashboards/page/main.ts', 'page');
  write('fail', '');
  // The fake npm creates the two compilers; the fake tsc writes a program that prints the source it
  // was built from.
  write(
    'path/npm',
    `#!/bin/sh
[ "$(cat fail)" = patient ] && trap 'sleep 0.5; touch ended; exit 1' TERM
[ "$(cat fail)" = deaf ] && trap '' TERM
echo $$ > pid; echo npm >> calls
[ "$(cat fail)" = npm ] && { echo "npm error code ENOTFOUND" >&2; exit 1; }
while grep -q -e slow -e patient -e deaf fail; do sleep 0.05; done
mkdir -p node_modules/typescript/bin node_modules/assemblyscript/bin node_modules/@tensorflow
cp -r tools/tfjs-node-gpu node_modules/@tensorflow/; cp -r tools/dejavu-fonts-ttf node_modules/
cp tools/tsc node_modules/typescript/bin/tsc; ` +
      'cp tools/asc.js node_modules/assemblyscript/bin/asc.js',
  );
  const common =
    "const fs = require('fs'); const fails = fs.readFileSync('fail', 'utf8'); " +
    'const out = process.argv.at(-1);\n' +
    "const call = (name) => { fs.appendFileSync('calls', name + '\\n'); " +
    "if (fails === name) { console.log(name + ' says no'); process.exit(1); } };";
  write(
    'tools/tsc',
    `${common} call('tsc'); const source = fs.readFileSync('cli/main.ts', 'utf8');\n` +
      "if (process.argv.includes('dashboards/page/tsconfig.json')) { " +
      'fs.mkdirSync(out, { recursive: true }); ' +
      "fs.copyFileSync('dashboards/page/main.ts', out + '/main.js'); process.exit(); }\n" +
      "fs.mkdirSync(out + '/cli/library', { recursive: true });\n" +
      "const types = (name, text) => fs.writeFileSync(out + '/cli/library/' + name, text);\n" +
      `types('index.d.ts', "export type * from './public.ts';"); types('public.d.ts', '');\n` +
      "types('internal.d.ts', ''); types('internal.js', '');\n" +
      "if (fails === 'full') fs.symlinkSync('/dev/full', out + '/.stamp');\n" +
      "fs.writeFileSync(out + '/cli/help-texts.js', 'export const helpTexts = () => (' + " +
      "JSON.stringify({ built: source }) + ')');\n" +
      "fs.writeFileSync(out + '/cli/start.js', 'export async function start(argv) { " +
      "console.log(' + JSON.stringify(source) + ', argv.join()); return 7; }');",
  );
  const tfjs = 'tools/tfjs-node-gpu';
  write(`${tfjs}/package.json`, '{"name":"@tensorflow/tfjs-node-gpu","version":"4.22.0"}');
  write(`${tfjs}/binding/tfjs_binding.cc`, 'source');
  write('tools/dejavu-fonts-ttf/ttf/DejaVuSans.ttf', 'font');
  write('tools/dejavu-fonts-ttf/LICENSE', 'licence');
  write('tools/asc.js', `${common} call('asc'); fs.writeFileSync(out, 'wasm');`);
  chmodSync(join(checkout, 'path/npm'), 0o755);
});

afterEach(() => {
  rmSync(checkout, { recursive: true, force: true });
});

describe('a fresh clone', () => {
  test('installs, builds and starts; its second start neither installs nor builds', async () => {
    expect(await start('local', '-n')).toMatchObject({ status: 7, stdout: 'one local,-n\n' });
    expect(calls()).toEqual(['asc', 'npm', 'tsc', 'tsc']);
    expect(await start()).toMatchObject({ status: 7, stderr: '' });
    expect(calls()).toHaveLength(4);
  });

  test('is set up only once when it is started twice at the same time', async () => {
    const both = await Promise.all([start(), start()]);
    expect(both.map(({ status }) => status)).toEqual([7, 7]);
    expect(calls()).toEqual(['asc', 'npm', 'tsc', 'tsc']);
  });

  test('takes over the lock of a set-up process that was killed', async () => {
    mkdirSync(join(checkout, '.mnist-dist/lock'), { recursive: true });
    const dead = await run(process.execPath, ['-e', 'console.log(process.pid)']);
    const owner = { ...thisProcess(), pid: Number(dead.stdout), token: '0123456789ab' };
    write('.mnist-dist/lock/owner.json', JSON.stringify(owner));
    const { status, stderr } = await start();
    expect(status).toBe(7);
    expect(stderr).toContain(`from process ${owner.pid} on ${owner.host}, which is gone`);
    expect(readdirSync(join(checkout, '.mnist-dist'))).toEqual([]);
  });

  test('fails with exit code SETUP and a fix when the registry cannot be reached', async () => {
    write('fail', 'npm');
    const result = await start();
    expect(result.status).toBe(10);
    expect(result.stderr).toMatch(/registry could not be reached.*ENOTFOUND\n +fix: .*npm /);
    // The command works from the folder in which the user started the program.
    expect(result.stderr).toContain('run again: npm ci --include=dev');
    const script = join(checkout, 'bin/mnist-dist.mjs');
    const elsewhere = await follow(process.execPath, [script], false, tmpdir()).ended;
    const [, folder] =
      /run again: npm --prefix '(.*)' ci --include=dev/.exec(elsewhere.stderr) ?? [];
    expect(folder).toBe(realpathSync(checkout));
    expect(existsSync(join(checkout, 'dist'))).toBe(false);
    write('fail', '');
    expect(await start()).toMatchObject({ status: 7 });
  });
});

test('a full disk is reported as such', async () => {
  write('fail', 'full');
  const { status, stderr } = await start();
  expect(status).toBe(10);
  expect(stderr).toMatch(/set-up cannot write to .*ENOSPC.*\n {2}fix: free disk space\n/);
});

test('a limit on the size of files is reported as such', async () => {
  await start();
  write('node_modules/dejavu-fonts-ttf/ttf/DejaVuSans.ttf', 'f'.repeat(1_000_000));
  write('cli/main.ts', 'two');
  const command = [process.execPath, join(checkout, 'bin/mnist-dist.mjs')];
  const limited = ['-c', 'ulimit -f 300; exec "$@"', 'bash', ...command];
  const { status, stderr } = await run('bash', limited);
  expect(status).toBe(10);
  expect(stderr).toMatch(/set-up cannot write to .*EFBIG.*\n {2}fix: .*ulimit -f unlimited\n/);
});

describe('a set-up whose stderr is broken', () => {
  test('because a pipe was closed continues and starts the program', async () => {
    write('fail', 'slow');
    const { child, ended } = launch();
    child.stderr?.destroy();
    await installing();
    write('fail', '');
    expect(await ended).toMatchObject({ status: 7, stdout: 'one \n' });
    expect(readdirSync(join(checkout, '.mnist-dist'))).toEqual([]);
  });

  test('because a disk is full continues, and ends with the right exit code', async () => {
    const script = join(checkout, 'bin/mnist-dist.mjs');
    const toFull = () => run('sh', ['-c', `exec "$0" "$1" 2>/dev/full`, process.execPath, script]);
    write('fail', 'npm');
    expect(await toFull()).toMatchObject({ status: 10 });
    write('fail', '');
    expect(await toFull()).toMatchObject({ status: 7 });
  });
});

describe('set-up without a terminal', () => {
  test('continues under nohup when its terminal is closed', async () => {
    write('fail', 'slow');
    const { child, ended } = launch();
    await installing();
    process.kill(-(child.pid ?? 0), 'SIGHUP');
    write('fail', '');
    expect(await ended).toMatchObject({ status: 7 });
  });

  test('stops its child programs when it is stopped', async () => {
    write('fail', 'slow');
    const { child, ended } = launch();
    await installing();
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ status: 143 });
    write('fail', '');
    expect(calls()).toEqual(['npm']);
    expect(existsSync(join(checkout, 'node_modules'))).toBe(false);
  });
});

describe('a set-up that is stopped', () => {
  test('keeps its lock until the programs that it started have ended', async () => {
    write('fail', 'patient');
    const { child, ended } = launch();
    await installing();
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ status: 130 });
    expect(existsSync(join(checkout, 'ended'))).toBe(true);
  });

  test('kills the programs that do not end', async () => {
    write('fail', 'deaf');
    const { child, ended } = launch();
    await installing();
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ status: 143 });
    const npm = Number(readFileSync(join(checkout, 'pid'), 'utf8'));
    expect(() => process.kill(npm, 0)).toThrow('ESRCH');
  });
});

describe('a checkout', () => {
  test('is rebuilt after an edit, and reinstalled after a change to the lock file', async () => {
    await start();
    write('cli/main.ts', 'another');
    expect((await start()).stdout).toBe('another \n');
    expect(calls().filter((name) => name === 'npm')).toHaveLength(1);
    write('npm-shrinkwrap.json', '{"packages":{"":{},"node_modules/new":{"version":"1.0.0"}}}');
    await start();
    expect(calls().filter((name) => name === 'npm')).toHaveLength(2);
  });

  test('has its help written by the build, and rewritten after an edit', async () => {
    await start();
    expect(help()).toEqual({ built: 'one' });
    write('cli/main.ts', 'another');
    await start();
    expect(help()).toEqual({ built: 'another' });
  });

  test('has its page built, and rebuilt after an edit to the page', async () => {
    await start();
    write('dashboards/page/main.ts', 'another page');
    await start();
    expect(readFileSync(join(checkout, 'dist/browser/main.js'), 'utf8')).toBe('another page');
    expect(calls().filter((name) => name === 'tsc')).toHaveLength(4);
  });

  test.each(['tsc', 'asc'])(
    'whose build fails in %s keeps the last good build and does not run it',
    async (tool) => {
      await start();
      write('cli/main.ts', 'broken');
      write('fail', tool);
      const result = await start();
      expect(result).toMatchObject({ status: 10, stdout: '' });
      expect(result.stderr).toContain(`${tool} says no`);
      expect(readFileSync(join(checkout, 'dist/cli/start.js'), 'utf8')).toContain('one');
    },
  );

  test('that was installed by hand is not installed again', async () => {
    mkdirSync(join(checkout, 'node_modules'));
    expect((await run(join(checkout, 'path/npm'), [])).status).toBe(0);
    write('node_modules/.package-lock.json', '{"packages":{}}');
    await start();
    expect(calls().filter((name) => name === 'npm')).toHaveLength(1);
  });

  test.each(['{"packages":{', 'null', '{}'])(
    'is installed again if the record of npm is %j',
    async (record) => {
      await start();
      rmSync(join(checkout, 'node_modules/.mnist-dist-stamp'));
      write('node_modules/.package-lock.json', record);
      expect(await start()).toMatchObject({ status: 7 });
      expect(calls().filter((name) => name === 'npm')).toHaveLength(2);
    },
  );

  test('starts even if it cannot record that its packages are complete', async () => {
    await start();
    rmSync(join(checkout, 'node_modules/.mnist-dist-stamp'));
    mkdirSync(join(checkout, 'node_modules/.mnist-dist-stamp'));
    write('node_modules/.package-lock.json', '{"packages":{}}');
    expect(await start()).toMatchObject({ status: 7, stderr: '' });
  });

  test.each<[string, string, () => void]>([
    ['tsconfig.json', 'is cut off', () => write('tsconfig.json', '{"include":["cli",')],
    ['tsconfig.json', 'has other content', () => write('tsconfig.json', 'null')],
    ['npm-shrinkwrap.json', 'is missing', () => rmSync(join(checkout, 'npm-shrinkwrap.json'))],
    [
      'npm-shrinkwrap.json',
      'is a folder',
      () => {
        rmSync(join(checkout, 'npm-shrinkwrap.json'));
        mkdirSync(join(checkout, 'npm-shrinkwrap.json'));
      },
    ],
    [
      'cli',
      'is a file',
      () => {
        rmSync(join(checkout, 'cli'), { recursive: true });
        write('cli', '');
      },
    ],
  ])('whose %s %s ends with a message and a fix', async (name, _, damage) => {
    await start();
    damage();
    const { status, stdout, stderr } = await start();
    expect({ status, stdout }).toEqual({ status: 10, stdout: '' });
    expect(stderr).toContain(
      `error: ${realpathSync(checkout)}/${name} is damaged or cannot be read`,
    );
    expect(stderr).toMatch(new RegExp(`\n {2}fix: restore it: git checkout ${name}\n$`));
  });

  test.skipIf(process.getuid?.() !== 0)(
    'with a folder that this user may not read ends with a message and a fix',
    async () => {
      await start();
      chmodSync(checkout, 0o755);
      chmodSync(join(checkout, 'cli'), 0o700);
      const { status, stderr } = spawnSync(
        process.execPath,
        [join(checkout, 'bin/mnist-dist.mjs')],
        { uid: 54_321, gid: 54_321, encoding: 'utf8' },
      );
      expect(status).toBe(10);
      expect(stderr).toMatch(
        /cli is damaged or cannot be read: EACCES.*\n {2}fix: make it readable/,
      );
    },
  );

  test('may contain a dangling link', async () => {
    symlinkSync('nowhere', join(checkout, 'cli/.#main.ts'));
    expect(await start()).toMatchObject({ status: 7 });
    expect(await start()).toMatchObject({ status: 7, stderr: '' });
  });

  test.skipIf(process.getuid?.() !== 0)(
    'that was installed by hand starts for a user who may not write to it',
    async () => {
      await start();
      write('node_modules/.package-lock.json', '{"packages":{}}');
      rmSync(join(checkout, 'node_modules', '.mnist-dist-stamp'));
      chmodSync(checkout, 0o755);
      const { status, stderr } = spawnSync(
        process.execPath,
        [join(checkout, 'bin/mnist-dist.mjs')],
        { uid: 54_321, gid: 54_321, encoding: 'utf8' },
      );
      expect({ status, stderr }).toEqual({ status: 7, stderr: '' });
    },
  );

  test('has only the declarations that the library refers to', async () => {
    await start();
    const library = join(checkout, 'dist/cli/library');
    expect(readdirSync(library).toSorted()).toEqual(['index.d.ts', 'internal.js', 'public.d.ts']);
    expect(readFileSync(join(library, 'index.d.ts'), 'utf8')).toContain("from './public.js'");
  });

  test('gains only the work folder, node_modules and dist', async () => {
    const before = readdirSync(checkout);
    await start();
    const added = readdirSync(checkout).filter((name) => !before.includes(name));
    expect(added.toSorted()).toEqual(['.mnist-dist', 'calls', 'dist', 'node_modules', 'pid']);
    expect(readdirSync(join(checkout, '.mnist-dist'))).toEqual([]);
  });
});

function write(path: string, text: string): void {
  const file = join(checkout, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, text);
}

function help(): unknown {
  return JSON.parse(readFileSync(join(checkout, 'dist/cli/help.json'), 'utf8'));
}

/** The names of the tools that ran, sorted. */
function calls(): string[] {
  return readFileSync(join(checkout, 'calls'), 'utf8').trim().split('\n').toSorted();
}

function start(...argv: string[]): Promise<Result> {
  return run(process.execPath, [join(checkout, 'bin/mnist-dist.mjs'), ...argv]);
}

/** Starts the program in its own process group. */
function launch(): { child: ChildProcess; ended: Promise<Result> } {
  return follow(process.execPath, [join(checkout, 'bin/mnist-dist.mjs')], true);
}

async function installing(): Promise<void> {
  await expect.poll(() => existsSync(join(checkout, 'calls'))).toBe(true);
}

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, argv: readonly string[]): Promise<Result> {
  return follow(program, argv, false).ended;
}

function follow(
  program: string,
  argv: readonly string[],
  detached: boolean,
  cwd: string = checkout,
): { child: ChildProcess; ended: Promise<Result> } {
  const {
    npm_execpath: _execpath,
    npm_command: _command,
    INIT_CWD: _folder,
    ...environment
  } = process.env;
  const PATH = `${join(checkout, 'path')}:/usr/bin:/bin`;
  const child = spawn(program, argv, { cwd, env: { ...environment, PATH }, detached });
  const ended = new Promise<Result>((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (status) => {
      resolve({ status, stdout, stderr });
    });
  });
  return { child, ended };
}
