import { describe, expect, it } from 'vitest';
import { Attacker } from './attacker.ts';
import { expectBoundedMemory } from './cost.ts';
import { upgradeRequest } from './frames.ts';
import { TOKEN } from './honest.ts';
import { expectUnharmed, startTarget } from './target.ts';

const WRONG = [
  ['a wrong token', 'b'.repeat(TOKEN.length)],
  ['the beginning of the token', TOKEN.slice(0, -1)],
  ['the token and one more character', `${TOKEN}0`],
  ['a token of 4,000 characters', 'x'.repeat(4000)],
] as const;
const PATHS = ['/run', '/data/0', '/worker', '/worker/r', '/', '/%2e%2e/etc/passwd'];
const PROOF = `MnistDist nonce="${'0'.repeat(64)}", proof="${'0'.repeat(64)}"`;

describe('a peer without the token', () => {
  it.each(WRONG)('gets only a 401 for %s, and is disconnected', async (_, token) => {
    const target = await startTarget();
    await expectBoundedMemory(async () => {
      for (const path of PATHS) {
        expectNothingLearnt(await Attacker.get(target.port, path, token).ended);
        expectNothingLearnt(await Attacker.upgrade(target.port, { token, path }).ended);
      }
    });
    await expectUnharmed(target);
  });

  it.each([
    ['no proof', ''],
    ['a token instead of a proof', `Authorization: Bearer ${'b'.repeat(TOKEN.length)}\r\n`],
    ['an empty token', 'Authorization: Bearer \r\n'],
    ['a proof before it was challenged', `Authorization: ${PROOF}\r\n`],
    ['an invalid answer', 'Authorization: MnistDist nonce="0", proof="0"\r\n'],
    ['a body', 'Content-Length: 1000000000\r\n'],
    ['a body that it announces', 'Content-Length: 9\r\nExpect: 100-continue\r\n'],
    ['an unknown expectation', 'Expect: 200-ok\r\n'],
  ])('gets only a 401 for %s', async (_, headers) => {
    const target = await startTarget();
    for (const path of PATHS) {
      const plain = new Attacker(target.port);
      // Sent twice: a connection is challenged only once.
      plain.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`.repeat(2));
      expectNothingLearnt(await plain.ended);
      const upgrading = new Attacker(target.port);
      upgrading.write(upgradeRequest(null, path, headers));
      expectNothingLearnt(await upgrading.ended);
    }
    await expectUnharmed(target);
  });
});

function expectNothingLearnt({ status, text }: { status: number | undefined; text: string }): void {
  expect(status).toBe(401);
  expect(text).not.toMatch(/dataset|model|protocol|"run"|X-Powered|Server:|Authentication-Info/i);
}
