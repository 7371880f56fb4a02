import { describe, expect, it } from 'vitest';
import { Attacker } from './attacker.ts';
import { expectBoundedMemory } from './cost.ts';
import { TOKEN } from './honest.ts';
import { expectUnharmed, startTarget } from './target.ts';

const WRONG = [
  ['no token', undefined],
  ['an empty token', ''],
  ['another token', 'b'.repeat(TOKEN.length)],
  ['the beginning of the token', TOKEN.slice(0, -1)],
  ['more than the token', `${TOKEN}0`],
  ['a token of 4,000 characters', 'x'.repeat(4000)],
] as const;
const PATHS = ['/run', '/data/0', '/worker', '/', '/%2e%2e/etc/passwd'];

describe('whoever lacks the token', () => {
  it.each(WRONG)('learns nothing but 401 with %s, and its connection ends', async (_, token) => {
    const target = await startTarget();
    await expectBoundedMemory(async () => {
      for (const path of PATHS) {
        const plain = new Attacker(target.port);
        const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`;
        plain.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${authorization}\r\n`);
        expectNothingLearnt(await plain.ended);
        expectNothingLearnt(await Attacker.upgrade(target.port, { token: token ?? null, path }).ended);
      }
    });
    await expectUnharmed(target);
  });
});

function expectNothingLearnt({ status, text }: { status: number | undefined; text: string }): void {
  expect(status).toBe(401);
  expect(text).not.toMatch(/dataset|model|protocol|"run"|X-Powered|Server:/i);
}
