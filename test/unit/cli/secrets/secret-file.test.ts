import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { certs } from '../../../../cli/commands/certs.ts';
import { writeJoinFile } from '../../../../cli/secrets/join-command.ts';
import { hideFromGit } from '../../../../cli/secrets/secret-file.ts';
import { writeLoopbackToken } from '../../../../cli/secrets/generated-token.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let repository = '';
beforeEach(() => {
  repository = temporaryFolder();
  execFileSync('git', ['init', '--quiet'], { cwd: repository });
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  return () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  };
});

function write(path: string, text = 'x'): void {
  mkdirSync(dirname(join(repository, path)), { recursive: true });
  writeFileSync(join(repository, path), text);
}

/** The files that `git add .` would add. */
function shown(): string[] {
  const args = ['status', '--porcelain', '--untracked-files=all', '-z'];
  return execFileSync('git', args, { cwd: repository, encoding: 'utf8' })
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => line.slice(3))
    .toSorted();
}

const makeCerts = (out: string) =>
  certs(
    { config: undefined, out: join(repository, out), days: 10 },
    { operands: ['gpu0.example'] },
  );

describe('git ignores', () => {
  it('all files in a folder that `certs` created', async () => {
    await makeCerts('certs');
    write('certs/token');
    expect(shown()).toEqual([]);
  });

  it('only the keys in a folder that has other files', async () => {
    write('mine/notes.txt');
    await makeCerts('mine');
    expect(shown()).toEqual([
      'mine/.gitignore',
      'mine/ca.crt',
      'mine/coordinator.crt',
      'mine/notes.txt',
    ]);
    // The same applies if the folder has an authority that this command created.
    await makeCerts('mine');
    expect(shown()).toContain('mine/notes.txt');
  });

  it('the keys in a folder with a .gitignore, whose lines are kept', async () => {
    write('mine/.gitignore', '*.tmp');
    await makeCerts('mine');
    await makeCerts('mine');
    const text = readFileSync(join(repository, 'mine', '.gitignore'), 'utf8');
    expect(text).toBe('*.tmp\n/ca.key\n/coordinator.key\n');
    expect(shown()).toEqual(['mine/.gitignore', 'mine/ca.crt', 'mine/coordinator.crt']);
  });

  it('the join file of a run, whose removal restores the folder', () => {
    write('results/r/run.json');
    const file = join(repository, 'results', 'r', 'join');
    const endpoint = { host: '10.0.0.5', port: 1, advertise: undefined, certificate: undefined };
    const remove = writeJoinFile(file, { ...endpoint, token: 'x'.repeat(32) });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(shown()).toEqual(['results/r/run.json']);
    remove();
    expect([existsSync(file), existsSync(join(dirname(file), '.gitignore'))]).toEqual([
      false,
      false,
    ]);
  });

  it('the token file of a loopback coordinator, which only its owner can read', () => {
    vi.stubEnv('MNIST_DIST_CACHE', join(repository, 'cache'));
    const tokens = join(repository, 'cache', 'tokens');
    mkdirSync(tokens, { recursive: true });
    chmodSync(tokens, 0o755);
    const { file } = writeLoopbackToken('127.0.0.1', 29_400, 'x'.repeat(32));
    expect([statSync(file).mode & 0o777, statSync(tokens).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(shown()).toEqual([]);
  });
});

it('fails with a DISK error that identifies a .gitignore that cannot be written', () => {
  write('file');
  expect(() => hideFromGit(join(repository, 'file'), ['*'])).toThrow(
    expect.objectContaining({ code: 'DISK', message: expect.stringContaining('.gitignore') }),
  );
});
