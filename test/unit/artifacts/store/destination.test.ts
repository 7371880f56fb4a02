import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { STORE_LOOK_MILLISECONDS } from '../../../../shared/limits.ts';
import { parseStoreUri } from '../../../../artifacts/store/store-address.ts';
import { checkDestination } from '../../../../artifacts/store/destination.ts';
import { pushRun } from '../../../../artifacts/store/push.ts';
import { makeRun, RUN } from '../../../fixtures/store/stored-run.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';
import { gives, says, scripted, type Answer } from '../../../fixtures/store/fake-s3-server.ts';

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  return { ...real, access: vi.fn<typeof real.access>(real.access) };
});

let folder = '';
let runs = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mnist-dist-place-'));
  runs = join(folder, 'runs');
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Checks the destination of a run that has not begun, unless `started` is given. */
const check = (uri: string, started?: string) =>
  checkDestination(parseStoreUri(uri), { directory: join(runs, RUN), run: RUN, started });

describe('a folder as the destination of a run', () => {
  it('need not exist, may be among the runs, and is not changed', async () => {
    for (const uri of [
      `file:${folder}/store`,
      `file:${folder}/a/b`,
      `file:${runs}/store`,
      `file:${folder}`,
    ])
      expect(await check(uri)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is rejected if it is the run's own folder, by any path", async () => {
    symlinkSync(folder, join(folder, 'up'));
    for (const isThere of [false, true]) {
      if (isThere) {
        makeRun(runs);
        symlinkSync(runs, join(folder, 'link'));
      }
      const ways = [runs, join(runs, '..', 'runs'), join(folder, 'up', 'runs')];
      for (const place of [...ways, ...(isThere ? [join(folder, 'link')] : [])])
        await expect(check(`file:${place}`), place).rejects.toMatchObject({
          code: 'USAGE',
          message: `${join(runs, RUN)} is also the destination of the push`,
        });
      for (const place of [join(runs, RUN), join(runs, RUN, 'store')])
        await expect(check(`file:${place}`), place).rejects.toMatchObject({
          code: 'USAGE',
          message: `${join(runs, RUN)} would be pushed into itself, to ${join(place, RUN)}`,
        });
    }
    const within = pushRun(
      join(runs, RUN),
      { kind: 'file', directory: join(runs, RUN, 'store') },
      immediateRetries(),
    );
    await expect(within).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('is rejected if a file is in its way', async () => {
    writeFileSync(join(folder, 'file'), '');
    for (const place of ['file', 'file/store'])
      await expect(check(`file:${join(folder, place)}`)).rejects.toMatchObject({ code: 'STORE' });
    mkdirSync(join(folder, 'store'));
    writeFileSync(join(folder, 'store', RUN), '');
    await expect(check(`file:${join(folder, 'store')}`)).rejects.toMatchObject({ code: 'STORE' });
  });

  it.each(['store', 'store/a/b'])('is rejected if it is not writable: %s', async (place) => {
    mkdirSync(join(folder, 'store'));
    // Root may write anywhere, so the refusal is injected.
    const refusal = Object.assign(new Error('EACCES: fake'), { code: 'EACCES' });
    vi.mocked(access).mockRejectedValueOnce(refusal);
    await expect(check(`file:${join(folder, place)}`)).rejects.toMatchObject({
      code: 'STORE',
      message: `file:${join(folder, place, RUN)} could not be written: EACCES: fake`,
      fix: expect.stringContaining('permissions'),
    });
    const { W_OK, X_OK } = constants;
    expect(vi.mocked(access).mock.lastCall).toEqual([join(folder, 'store'), W_OK | X_OK]);
    expect(await check(`file:${join(folder, place)}`)).toBeUndefined();
  });

  it('is rejected if it has a different run with this id', async () => {
    const store = join(folder, 'store');
    await pushRun(makeRun(runs), { kind: 'file', directory: store }, immediateRetries());
    await expect(check(`file:${store}`)).rejects.toMatchObject({ code: 'RUN_EXISTS' });
    await expect(check(`file:${store}`, '2026-05-05T00:00:00.000Z')).rejects.toMatchObject({
      code: 'RUN_EXISTS',
      message: expect.stringContaining(
        'has a different run with this id, started 2026-01-02T03:04:05.000Z',
      ),
    });
    expect(await check(`file:${store}`, '2026-01-02T03:04:05.000Z')).toBeUndefined();
    writeFileSync(join(store, RUN, 'manifest.json'), '{');
    expect(await check(`file:${store}`)).toBeUndefined();
  });
});

describe('a server as the destination of a run', () => {
  const uri = 's3://bucket/a';

  it('gets one request, for the manifest of the run', async () => {
    const { requests } = await scripted(says(404, 'NoSuchKey'));
    expect(await check(uri)).toBeUndefined();
    expect(requests.map(({ method, url }) => `${method} ${url.split('?')[0]}`)).toEqual([
      `GET /bucket/a/${RUN}/manifest.json`,
    ]);
  });

  it('is rejected if it has a different run with this id', async () => {
    const started = '2026-01-02T03:04:05.000Z';
    await scripted(gives(JSON.stringify({ format: 1, run: RUN, started, files: [] })));
    await expect(check(uri)).rejects.toMatchObject({ code: 'RUN_EXISTS' });
    expect(await check(uri, started)).toBeUndefined();
  });

  it.each([
    [404, 'NoSuchBucket', 'bucket bucket does not exist'],
    [403, 'SignatureDoesNotMatch', 'rejected the access key or its secret'],
    [403, 'AccessDenied', 'denied access'],
    [418, 'Teapot', 'answered 418'],
  ])('is rejected if it answers %i %s', async (status, code, message) => {
    await scripted(says(status, code));
    await expect(check(uri)).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining(message),
    });
  });

  it.each<[string, Answer, string]>([
    ['is overloaded', says(503, 'SlowDown'), 'answered 503'],
    ['hangs up', (response) => response.destroy(), 'does not answer (ECONNRESET)'],
    [
      'is silent',
      () => vi.advanceTimersByTime(STORE_LOOK_MILLISECONDS),
      'has not answered within 10 s',
    ],
  ])('is accepted with a warning, without a retry, if it %s', async (_what, answer, message) => {
    const { requests } = await scripted(answer);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    expect(await check(uri)).toMatchObject({
      code: 'STORE',
      message: expect.stringContaining(message),
    });
    expect(requests).toHaveLength(1);
  });

  it('needs valid settings', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', 'nonsense');
    await expect(check(uri)).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('needs an access key', async () => {
    const { requests } = await scripted(says(404, 'NoSuchKey'));
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_PROFILE'])
      vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_CONFIG_FILE', '/nowhere/config');
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere/credentials');
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    await expect(check(uri)).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('no access key is set'),
    });
    expect(requests).toEqual([]);
  });
});
