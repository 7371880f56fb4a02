import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { removeAbandonedTokens } from '../../../../cli/secrets/abandoned-tokens.ts';
import { workerToken, writeLoopbackToken } from '../../../../cli/secrets/token.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { temporaryFolder } from '../../../fixtures/processes.ts';

const TOKEN = 'x'.repeat(32);
const OTHER = 'y'.repeat(32);
const self = systemProcesses.self();
const dead = { ...systemProcesses, isRunning: () => false };

/** A folder with the token of port 29,400, and its owner. */
function folderOf(owner: object | string): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, '29400'), TOKEN, { mode: 0o600 });
  writeFileSync(
    join(folder, '29400.owner'),
    typeof owner === 'string' ? owner : JSON.stringify(owner),
  );
  return folder;
}

describe('a token in the cache', () => {
  it('of a killed coordinator is removed', () => {
    const folder = folderOf(self);
    removeAbandonedTokens(folder, dead);
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['of a running coordinator', self, systemProcesses],
    ['of another host', { ...self, host: `${self.host}-2` }, dead],
    ['of another boot, which may be another host of the same name', { ...self, boot: 'x' }, dead],
    ['of another pid namespace', { ...self, namespace: 'pid:[1]' }, dead],
    ['whose owner is not readable', '{', dead],
  ] as const)('%s stays', (_, owner, processes) => {
    const folder = folderOf(owner);
    removeAbandonedTokens(folder, processes);
    expect(readdirSync(folder).toSorted()).toEqual(['29400', '29400.owner']);
    expect(readFileSync(join(folder, '29400'), 'utf8')).toBe(TOKEN);
  });

  it('stays where a new coordinator takes the port while the old one is looked at', () => {
    const folder = folderOf(self);
    const isRunning = () => {
      writeFileSync(join(folder, '29400.owner'), 'new');
      return false;
    };
    removeAbandonedTokens(folder, { ...systemProcesses, isRunning });
    expect(readdirSync(folder).toSorted()).toEqual(['29400', '29400.owner']);
  });

  it('is removed with its owner by a coordinator that ends', () => {
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const { file, remove } = writeLoopbackToken('127.0.0.1', 29_400, TOKEN);
    expect(existsSync(file)).toBe(true);
    remove();
    expect(existsSync(file)).toBe(false);
    expect(existsSync(`${file}.owner`)).toBe(false);
  });

  it('of a newer coordinator at the port stays when an older one ends', () => {
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    onTestFinished(() => void vi.unstubAllEnvs());
    const { file, remove } = writeLoopbackToken('127.0.0.1', 29_400, TOKEN);
    writeFileSync(`${file}.owner`, JSON.stringify({ ...self, pid: self.pid + 1 }));
    writeFileSync(file, 'new');
    remove();
    expect(readFileSync(file, 'utf8')).toBe('new');
    expect(existsSync(`${file}.owner`)).toBe(true);
  });

  it('is its own for each loopback address, and found by workers that dial it', () => {
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
});
