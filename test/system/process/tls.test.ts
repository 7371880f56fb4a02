import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { ask } from '../../fixtures/page-client.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { newRun, QUICK_RECIPE, quickLocal, REFERENCE } from '../../fixtures/processes/options.ts';
import { run, start, until, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const folder = temporaryFolder(afterAll);
const certs = join(folder, 'certs');
const file = (name: string) => join(certs, name);
const tls = ['--ssl-certfile', file('coordinator.crt'), '--ssl-keyfile', file('coordinator.key')];
const length = ['--steps', '60', '--no-http'];
/** The model that a run without TLS has trained. */
let plain = '';

const shaOf = (output: string): string => /sha256 +([0-9a-f]{64})/.exec(output)?.[1] ?? '';

/**
 * Starts a coordinator with TLS for two workers; resolves with it and the join string from its
 * file.
 */
async function coordinator(
  more: readonly string[] = [],
): Promise<{ process: Started; runs: string; join: string }> {
  const runs = temporaryFolder();
  const options = [...QUICK_RECIPE, ...length, ...tls, ...more, '--min-workers', '2'];
  const process = start(['coordinator', ...newRun(runs), ...options]);
  const [, path = ''] = await process.says(/mnist-dist\S* worker --join - < (\S+)/);
  return { process, runs, join: readFileSync(path, 'utf8').trim() };
}

const joining = (text: string, more: readonly string[] = []) =>
  start(['worker', ...REFERENCE, ...more], { MNIST_DIST_JOIN: text });

it('`certs` makes certificates, and a run without TLS trains for comparison', async () => {
  expect(await run(['certs', '10.77.0.1', '--out', certs])).toMatchObject({ code: 0 });
  const { code, output } = await run([...quickLocal(folder), ...length]);
  expect(code, output).toBe(0);
  plain = shaOf(output);
  expect(plain).not.toBe('');
});

describe('over TLS', () => {
  it('workers join with the same join string, and the bytes are the same', async () => {
    const { process, runs, join: text } = await coordinator();
    const path = join(runs, 'r', 'join');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    // No log contains the token.
    const [, token = ''] = /token=([0-9a-f]+)/.exec(text) ?? [];
    expect(token).toHaveLength(64);
    const first = joining(text);
    const second = start(['worker', ...REFERENCE, '--join', text]);
    expect(await process.exited, process.output()).toBe(0);
    expect([await first.exited, await second.exited]).toEqual([0, 0]);
    expect(shaOf(process.output())).toBe(plain);
    expect(readRun(join(runs, 'r')).record.workers).toHaveLength(2);
    for (const { output } of [process, first, second]) expect(output()).not.toContain(token);
    expect(second.output()).toContain(
      'other users of this machine can read the token in --join with ps',
    );
    expect(existsSync(path)).toBe(false);
  });

  it('workers join with a string on stdin, or with an authority and a token in files', async () => {
    const { process, join: text } = await coordinator();
    const token = join(temporaryFolder(), 'token');
    writeFileSync(token, /token=([0-9a-f]+)/.exec(text)?.[1] ?? '', { mode: 0o600 });
    const [, url = ''] = /^(wss:\/\/\S+)\/#/.exec(text) ?? [];
    const named = start([
      'worker',
      ...REFERENCE,
      '--coordinator',
      url.replace('127.0.0.1', 'localhost'),
      '--token-file',
      token,
      '--ssl-ca-certfile',
      file('ca.crt'),
    ]);
    const pasted = start(
      ['worker', ...REFERENCE, '--join', '-'],
      {},
      undefined,
      `noise before ${text}\n`,
    );
    expect(await process.exited, process.output()).toBe(0);
    expect([await named.exited, await pasted.exited], named.output() + pasted.output()).toEqual([
      0, 0,
    ]);
    expect(shaOf(process.output())).toBe(plain);
  });

  it('local trains to the same bytes', async () => {
    const runs = temporaryFolder();
    const { code, output } = await run([...quickLocal(runs), ...length, ...tls]);
    expect(code, output).toBe(0);
    expect(shaOf(output)).toBe(plain);
  });

  it('a worker that does not trust the certificate says why and does not retry', async () => {
    const { process, join: text } = await coordinator();
    const [, url = ''] = /^(wss:\/\/\S+)\/#/.exec(text) ?? [];
    const others = temporaryFolder();
    expect((await run(['certs', 'localhost', '--out', others])).code).toBe(0);
    for (const [args, environment, says] of [
      [
        ['--coordinator', url, '--ssl-ca-certfile', join(others, 'ca.crt')],
        {},
        /this worker does not trust the authority that issued the certificate/,
      ],
      [
        ['--coordinator', url],
        {},
        /this worker does not trust the authority that issued the certificate/,
      ],
      [
        [],
        { MNIST_DIST_JOIN: text.replace(/ca=.{64}/, `ca=${'0'.repeat(64)}`) },
        /not the certificate in the join string/,
      ],
    ] as const) {
      const { code, output } = await run(['worker', ...REFERENCE, ...args], environment);
      expect(code, output).toBe(errorTable.TLS.exit);
      expect(output).toMatch(says);
      expect(output).toMatch(/--ssl-ca-certfile|join string/);
    }
    process.process.kill('SIGTERM');
    await process.exited;
  });
});

describe('before anything starts, the program refuses', () => {
  it.each([
    [
      'a certificate without its key',
      ['coordinator', ...tls.slice(0, 2)],
      /--ssl-certfile was given without --ssl-keyfile/,
    ],
    [
      'an incomplete join string',
      ['worker', '--join', 'wss://10.0.0.1:1/#token=abc'],
      /this is not a join string/,
    ],
    [
      'two options for the same setting',
      ['worker', '--join', '-', '--coordinator', 'wss://x:1'],
      /--join and --coordinator cannot be combined/,
    ],
    ['certs without a name', ['certs'], /missing required argument 'name'/],
  ])('%s', async (_what, args, says) => {
    const { code, output } = await run(args);
    expect(code, output).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(says);
    expect(output).not.toContain('abc');
  });

  it('to dial another machine without TLS, even if a join string says so', async () => {
    const token = 'a-token-of-the-tests-0123456789';
    const { code, output } = await run(['worker'], {
      MNIST_DIST_JOIN: `ws://10.77.0.1:29400/#token=${token}`,
    });
    expect(code).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(/without TLS[^]*--insecure/);
    expect(output).not.toContain(token);
  });
});

describe('the live page for other machines', () => {
  it('needs TLS and a token', async () => {
    const runs = temporaryFolder();
    const token = join(temporaryFolder(), 'token');
    writeFileSync(token, 'a-token-of-the-page-0123456789', { mode: 0o600 });
    const secure = [
      '--http-ssl-certfile',
      file('coordinator.crt'),
      '--http-ssl-keyfile',
      file('coordinator.key'),
    ];
    const process = start([
      'coordinator',
      ...newRun(runs),
      ...QUICK_RECIPE,
      '--http-host',
      '0.0.0.0',
      '--http-port',
      '0',
      ...secure,
      '--http-token-file',
      token,
    ]);
    const [, port = ''] = await process.says(/watch it at https:\/\/\S+:(\d+)\//);
    const get = async (path: string, headers = {}) =>
      await ask(Number(port), path, { ca: readFileSync(file('ca.crt')), headers });
    await until(async () => ((await get('/readyz')).status === 200 ? true : undefined), process);
    expect((await get('/metrics')).status).toBe(401);
    const bearer = { authorization: 'Bearer a-token-of-the-page-0123456789' };
    expect((await get('/metrics', bearer)).body.toString()).toContain('mnist_dist_run_info');
    process.process.kill('SIGTERM');
    await process.exited;
  });
});
