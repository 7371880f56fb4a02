import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { MAX_STORE_ATTEMPTS } from '../../../../shared/limits.ts';
import { parseStoreUri } from '../../../../artifacts/store/store-address.ts';
import { pushRun } from '../../../../artifacts/store/push.ts';
import { openStore } from '../../../../artifacts/store/open-store.ts';
import { badNames, content, read } from '../../../fixtures/store/store-contract.ts';
import { makeRun, RUN } from '../../../fixtures/store/stored-run.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';
import { gives, says, scripted, type Answer } from '../../../fixtures/store/fake-s3-server.ts';

const hangsUp: Answer = (response) => response.destroy();
const breaksOff: Answer = (response) => {
  response.writeHead(200, { 'Content-Length': 1000 });
  response.write('a part', () => response.destroy());
};
const ok: Answer = (response) => response.writeHead(200).end();

// Keeps the settings of the machine that runs the tests from affecting them.
beforeEach(() => {
  for (const name of [
    'AWS_PROFILE',
    'AWS_REGION',
    'AWS_DEFAULT_REGION',
    'AWS_SESSION_TOKEN',
    'AWS_ENDPOINT_URL_S3',
  ])
    vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_CONFIG_FILE', '/nowhere/config');
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere/credentials');
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
});
afterEach(() => vi.unstubAllEnvs());

describe('a request', () => {
  it('signs the SHA-256 of its body, states its type, and avoids newer checksums', async () => {
    const { store, requests } = await scripted(ok);
    const given = content('the text', 'text/csv');
    await store.put('x/y.csv', given);
    expect(requests).toHaveLength(1);
    const [{ method, url, headers, body }] = requests as [(typeof requests)[0]];
    expect({ method, url, body }).toMatchObject({
      method: 'PUT',
      url: expect.stringContaining('/bucket/a/b/x/y.csv'),
      body: 'the text',
    });
    expect(headers).toMatchObject({
      'x-amz-content-sha256': given.sha256,
      'content-type': 'text/csv',
      'content-length': '8',
    });
    expect(headers['authorization']).toMatch(/SignedHeaders=[^,]*x-amz-content-sha256/);
    expect(Object.keys(headers).filter((name) => /checksum|trailer/.test(name))).toEqual([]);
    expect(headers['content-encoding']).toBeUndefined();
  });

  it.each<[string, Answer]>([
    ['503', says(503, 'SlowDown')],
    ['500', says(500, 'InternalError')],
    ['429', says(429, 'TooManyRequests')],
    ['a timeout', says(400, 'RequestTimeout')],
    ['bytes damaged in transit', says(400, 'BadDigest')],
    ['a closed connection', hangsUp],
  ])('that meets %s is retried with all its bytes', async (_what, answer) => {
    const { store, requests, waits } = await scripted(answer, answer, ok);
    await store.put('x.txt', content('all of it'));
    expect(requests.map(({ body }) => body)).toEqual(['all of it', 'all of it', 'all of it']);
    expect(waits).toEqual([125, 250]);
  });

  it.each(badNames)('is not made for the name %j', async (name) => {
    const { store, requests } = await scripted(ok);
    await expect(store.put(name, content('x'))).rejects.toMatchObject({
      message: expect.stringContaining('is not a valid file name'),
    });
    await expect(read(store, name)).rejects.toMatchObject({ code: 'STORE' });
    expect(requests).toEqual([]);
  });

  it('restarts its reader when the response breaks off', async () => {
    const { store, requests } = await scripted(breaksOff, gives('the whole'));
    expect(await read(store, 'x.txt')).toBe('the whole');
    expect(requests).toHaveLength(2);
  });

  it('is abandoned after the last attempt', async () => {
    const { store, requests, url } = await scripted(says(503, 'SlowDown'));
    await expect(store.remove('x.txt')).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringMatching(
        `^s3://bucket/a/b/x.txt: ${url} answered 503: SlowDown, the server's words$`,
      ),
    });
    expect(requests).toHaveLength(MAX_STORE_ATTEMPTS);
  });

  it('fails if its file cannot be read, and is not retried', async () => {
    const { store, requests } = await scripted(ok);
    const failing = async function* () {
      yield Buffer.from('half');
      throw new Error('the disk is gone');
    };
    const broken = {
      ...content('half and half'),
      open: async () => Readable.from(failing(), { objectMode: false }),
    };
    await expect(store.put('x.txt', broken)).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('the disk is gone'),
    });
    expect(requests).toEqual([]);
  });
});

describe('an error', () => {
  it.each([
    [
      403,
      'SignatureDoesNotMatch',
      'rejected the access key or its secret (SignatureDoesNotMatch)',
      'AWS_SECRET_ACCESS_KEY',
    ],
    [403, 'InvalidAccessKeyId', 'rejected the access key', 'AWS_PROFILE'],
    [400, 'ExpiredToken', 'rejected the access key', 'AWS_SESSION_TOKEN'],
    [403, 'AccessDenied', 'denied access (AccessDenied)', 's3:PutObject'],
    [404, 'NoSuchBucket', 'bucket bucket does not exist', 'aws s3 mb s3://bucket'],
    [403, 'RequestTimeTooSkewed', 'clock', "set this machine's clock"],
    [400, 'AuthorizationHeaderMalformed', 'another region', 'AWS_REGION'],
    [400, 'EntityTooLarge', "answered 400: EntityTooLarge, the server's words", 'AWS_ENDPOINT_URL'],
  ])(
    '%i %s says where, why and what to do, without a retry',
    async (status, code, message, fix) => {
      const { store, requests } = await scripted(says(status, code));
      const error = {
        code: 'STORE',
        exitCode: 31,
        message: expect.stringContaining(message),
        fix: expect.stringContaining(fix),
      };
      await expect(store.put('x.txt', content('x'))).rejects.toMatchObject(error);
      await expect(read(store, 'x.txt')).rejects.toMatchObject(error);
      expect(requests).toHaveLength(2);
      await expect(read(store, 'x.txt')).rejects.toMatchObject({
        message: expect.stringContaining('s3://bucket/a/b/x.txt'),
      });
    },
  );

  it('is not raised for a missing object', async () => {
    const { store } = await scripted(says(404, 'NoSuchKey'));
    expect(await read(store, 'x.txt')).toBeUndefined();
    await store.remove('x.txt');
  });

  it('reports a server that does not answer like S3', async () => {
    const { store, url } = await scripted((response) =>
      response.writeHead(418).end('<html>teapot'),
    );
    await expect(read(store, 'x.txt')).rejects.toMatchObject({
      message: expect.stringContaining(`${url} answered`),
    });
  });
});

describe('a server that stores different bytes than it was sent', () => {
  it('is detected, and no manifest is written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-s3-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const kept = new Map<string, string>();
    const { requests } = await scripted((response, request) => {
      const { method, url, body } = request;
      const path = url.split('?')[0] ?? '';
      const found = kept.get(path);
      if (method === 'PUT') kept.set(path, path.endsWith('loss.svg') ? '<SVG/>' : body);
      if (method === 'PUT') ok(response, request);
      else if (found === undefined) says(404, 'NoSuchKey')(response, request);
      else gives(found)(response, request);
    });
    await expect(
      pushRun(makeRun(folder), parseStoreUri('s3://bucket'), immediateRetries()),
    ).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining(
        `s3://bucket/${RUN}/artifacts/loss.svg differs from the bytes that were sent`,
      ),
    });
    expect(
      requests.filter(({ method, url }) => method === 'PUT' && url.includes('manifest.json')),
    ).toEqual([]);
  });
});

describe('settings', () => {
  const open = () => openStore({ kind: 's3', bucket: 'bucket', prefix: '' }, immediateRetries());

  it.each(['localhost:9000', 'ftp://host', 'nonsense'])('reject the server %s', async (text) => {
    vi.stubEnv('AWS_ENDPOINT_URL_S3', text);
    await expect(open()).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(`AWS_ENDPOINT_URL_S3=${text}`),
    });
  });

  it.each([
    ['http://user:hunter2@127.0.0.1:1', 'contains a user or a password'],
    ['https://hunter2@host', 'contains a user or a password'],
    ['minio:hunter2@host', 'is not the URL of a server'],
    ['minio:hun/hunter2@host:9000', 'is not the URL of a server'],
    ['http://user:hun/hunter2@host', 'is not the URL of a server'],
  ])('do not show the secret in %s', async (text, why) => {
    vi.stubEnv('AWS_ENDPOINT_URL', text);
    const message = `AWS_ENDPOINT_URL=...@${text.split('@')[1]} ${why}`;
    const refused = {
      code: 'USAGE',
      message,
      fix: expect.stringContaining('AWS_SECRET_ACCESS_KEY'),
    };
    await expect(open()).rejects.toMatchObject(refused);
  });

  it('do not show a secret in an address that happens to be valid', async () => {
    const { url } = await scripted(says(503, 'SlowDown'));
    vi.stubEnv('AWS_ENDPOINT_URL', `${url}/hunter2@host`);
    await expect(read(await open(), 'x.txt')).rejects.toMatchObject({
      message: expect.stringContaining(': ...@host answered 503'),
    });
  });

  it('need a region for Amazon', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', undefined);
    await expect(open()).rejects.toMatchObject({
      code: 'USAGE',
      fix: expect.stringContaining('AWS_REGION'),
    });
  });

  it('say that no access key is set', async () => {
    await scripted(ok);
    vi.stubEnv('AWS_ACCESS_KEY_ID', undefined);
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', undefined);
    await expect(read(await open(), 'x.txt')).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('no access key is set'),
      fix: expect.stringContaining('AWS_ACCESS_KEY_ID'),
    });
  });
});
