import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { removeAbandonedTokens } from '../../../../cli/secrets/abandoned-tokens.ts';
import { writeLoopbackToken } from '../../../../cli/secrets/generated-token.ts';
import { givenToken, workerToken } from '../../../../cli/secrets/token.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const TOKEN = 'x'.repeat(32);
const OTHER = 'y'.repeat(32);
const self = systemProcesses.self();
const dead = { ...systemProcesses, isRunning: () => false };

/** A folder with the token for port 29400 and its owner file. */
function folderOf(owner: object | string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, '29400'), TOKEN, { mode: 0o600 });
  writeFileSync(
    join(folder, '29400.owner'),
    typeof owner === 'string' ? owner : JSON.stringify(owner),
  );
  return folder;
}

describe("a coordinator's token file", () => {
  it('is removed when its coordinator was killed', () => {
    const folder = folderOf(self);
    removeAbandonedTokens(folder, dead);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['its coordinator is running', self, systemProcesses],
    ['it belongs to another host', { ...self, host: `${self.host}-2` }, dead],
    [
      'it is from another boot, possibly of another host with the same name',
      { ...self, boot: 'x' },
      dead,
    ],
    ['it belongs to another pid namespace', { ...self, namespace: 'pid:[1]' }, dead],
    ['its owner file is not readable', '{', dead],
  ] as const)('stays when %s', (_, owner, processes) => {
    const folder = folderOf(owner);
    removeAbandonedTokens(folder, processes);
    expect(readdirSync(folder).toSorted()).toEqual(['29400', '29400.owner']);
    expect(readFileSync(join(folder, '29400'), 'utf8')).toBe(TOKEN);
  });

  it('stays when a new coordinator takes the port during the check', () => {
    const folder = folderOf(self);
    const isRunning = () => {
      writeFileSync(join(folder, '29400.owner'), 'new');
      return false;
    };
    removeAbandonedTokens(folder, { ...systemProcesses, isRunning });
    expect(readdirSync(folder).toSorted()).toEqual(['29400', '29400.owner']);
  });

  it('is removed with its owner file when its coordinator ends', () => {
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const { file, remove } = writeLoopbackToken('127.0.0.1', 29_400, TOKEN);
    expect(existsSync(file)).toBe(true);
    remove();
    expect(existsSync(file)).toBe(false);
    expect(existsSync(`${file}.owner`)).toBe(false);
  });

  it('stays when it belongs to a newer coordinator on the same port', () => {
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const { file, remove } = writeLoopbackToken('127.0.0.1', 29_400, TOKEN);
    writeFileSync(`${file}.owner`, JSON.stringify({ ...self, pid: self.pid + 1 }));
    writeFileSync(file, 'new');
    remove();
    expect(readFileSync(file, 'utf8')).toBe('new');
    expect(existsSync(`${file}.owner`)).toBe(true);
  });

  it('is separate for each loopback address, and found by workers that dial it', () => {
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const first = writeLoopbackToken('127.0.0.1', 29_400, TOKEN);
    const second = writeLoopbackToken('127.0.0.2', 29_400, OTHER);
    const found = (host: string) => workerToken(undefined, new URL(`ws://${host}:29400`), {})();
    expect(['127.0.0.1', 'localhost', '127.0.0.2'].map(found)).toEqual([TOKEN, TOKEN, OTHER]);
    second.remove();
    expect(found('127.0.0.1')).toBe(TOKEN);
    expect(found('127.0.0.2')).toBe('');
    writeLoopbackToken('127.0.0.2', 29_400, OTHER);
    removeAbandonedTokens(dirname(first.file), dead);
    expect(['127.0.0.1', '127.0.0.2'].map(found)).toEqual(['', '']);
  });

  it('is separate for 127.0.0.1 and ::1, and found by workers that dial localhost', () => {
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const first = writeLoopbackToken('127.0.0.1', 29_400, TOKEN);
    const second = writeLoopbackToken('::1', 29_400, OTHER);
    const found = (host: string) => workerToken(undefined, new URL(`ws://${host}:29400`), {})();
    expect(['127.0.0.1', '[::1]', 'localhost'].map(found)).toEqual([TOKEN, OTHER, TOKEN]);
    first.remove();
    expect(['127.0.0.1', '[::1]', 'localhost'].map(found)).toEqual(['', OTHER, OTHER]);
    removeAbandonedTokens(dirname(second.file), dead);
    expect(found('[::1]')).toBe('');
  });
});

it.each([
  ['ws', 80],
  ['wss', 443],
] as const)('a worker that dials %s without a port reads the token for port %i', (scheme, port) => {
  vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
  onTestFinished(() => void vi.unstubAllEnvs());
  writeLoopbackToken('127.0.0.1', port, TOKEN);
  expect(workerToken(undefined, new URL(`${scheme}://127.0.0.1:${port}`), {})()).toBe(TOKEN);
});

describe('MNIST_DIST_TOKEN', () => {
  it.each(['\n', '\r\n'])('may end with a line break: %j', (end) => {
    expect(givenToken(undefined, { MNIST_DIST_TOKEN: TOKEN + end })).toBe(TOKEN);
  });

  it.each([`${TOKEN}\n\n`, ` ${TOKEN}`, `${TOKEN}\n${TOKEN}`])('is refused: %j', (token) => {
    expect(() => givenToken(undefined, { MNIST_DIST_TOKEN: token })).toThrow(
      /MNIST_DIST_TOKEN contains no usable token/,
    );
  });
});
