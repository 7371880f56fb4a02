import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  folderIn,
  keyOf,
  parseStoreUri,
  uriOf,
} from '../../../../artifacts/store/store-address.ts';
import { isStoreName } from '../../../../artifacts/store/store-names.ts';
import { badNames } from '../../../fixtures/store/store-contract.ts';

describe('parseStoreUri', () => {
  it.each([
    ['file:/srv/store', '/srv/store'],
    ['file:results', resolve('results')],
    ['file:a b', resolve('a b')],
    ['file:~/a', join(homedir(), 'a')],
    ['file:a/~', resolve('a/~')],
    ['file:a%20b', resolve('a%20b')],
    ['file:../up', resolve('../up')],
    ['file:///srv/a%20b', '/srv/a b'],
    ['FILE:/x', '/x'],
  ])('parses %s as a folder', (uri, directory) => {
    expect(parseStoreUri(uri)).toEqual({ kind: 'file', directory });
  });

  it.each([
    ['s3://bucket', 'bucket', ''],
    ['s3://bucket/', 'bucket', ''],
    ['s3://my.bucket-1/a/b', 'my.bucket-1', 'a/b'],
    ['s3://bucket/a/', 'bucket', 'a'],
    ['S3://bucket/A b', 'bucket', 'A b'],
  ])('parses %s as a bucket and a prefix', (uri, bucket, prefix) => {
    expect(parseStoreUri(uri)).toEqual({ kind: 's3', bucket, prefix });
  });

  it.each([
    ['', 'its scheme is missing'],
    ['results', 'did you mean file:results?'],
    ['/srv/store', 'did you mean file:/srv/store?'],
    ['https://host/x', 'https:'],
    ['gs://bucket/x', 'gs:'],
    ['file:', 'the folder is missing'],
    ['file:a\0b', 'NUL'],
    ['file:///a%00b', 'NUL'],
    ['file://host/x', 'file:///DIR'],
    ['file:///a%2fb', 'file:///DIR'],
    ['s3:', 'the bucket is missing'],
    ['s3:bucket/x', 'the bucket is missing'],
    ['s3://', 'the bucket is missing'],
    ['s3:///x', 'the bucket is missing'],
    ...['ab', 'UPPER', 'under_score', 'a..b', '127.0.0.1', 'host:9000', '-ab', 'x'.repeat(64)].map(
      (bucket) => [`s3://${bucket}/x`, 'is not a valid bucket name'],
    ),
    ...['..', '../x', 'a/../b', 'a/..', '.', 'a//b', '/a'].map((prefix) => [
      `s3://bucket/${prefix}`,
      'or ".."',
    ]),
    ...['a\0b', 'a\\b', 'a?b', 'a#b', 'a\nb'].map((prefix) => [
      `s3://bucket/${prefix}`,
      'must not contain a control character',
    ]),
    [`s3://bucket/${'x'.repeat(513)}`, 'at most 512 bytes'],
  ])('rejects %j', (uri = '', why = '') => {
    let said = '';
    try {
      parseStoreUri(uri);
    } catch (error) {
      expect(error).toMatchObject({ code: 'USAGE', exitCode: 2 });
      said =
        `${String(error)} ` + (error instanceof Error && 'fix' in error ? String(error.fix) : '');
    }
    expect(said).toContain(why);
    expect(said).toContain('allowed: file:DIR, or s3://BUCKET/PREFIX');
  });

  it.each([
    's3://AKIA:hunter2@bucket/x',
    's3://AKIA:hunt/hunter2@bucket/x',
    's3://user@hunter2@bucket',
    's3:AKIA:hunter2@bucket/x',
    'AKIA:hunter2@bucket/x',
    'hunter2@bucket',
    'https://AKIA:hunter2@host/bucket',
    'file://AKIA:hunter2@host/x',
    `s3://AKIA:hunter2${'x'.repeat(300)}@bucket`,
  ])('rejects %s without repeating the text before the "@"', (uri) => {
    let said = '';
    try {
      parseStoreUri(uri);
    } catch (error) {
      expect(error).toMatchObject({
        code: 'USAGE',
        fix: expect.stringContaining('allowed: file:DIR'),
      });
      said =
        `${String(error)} ` + (error instanceof Error && 'fix' in error ? String(error.fix) : '');
    }
    expect(said).toContain('"...@');
    expect(said).not.toMatch(/hunt|AKIA/i);
  });

  it('accepts an "@" in a name', () => {
    for (const uri of ['file:/srv/a@b', 's3://bucket/a@b'])
      expect(uriOf(parseStoreUri(uri))).toBe(uri);
    expect(() => parseStoreUri('s3://user@bucket/x')).toThrow(
      'it must not contain a user or a secret',
    );
  });

  it('parses what uriOf formats', () => {
    for (const uri of ['file:/srv/store', 's3://bucket', 's3://bucket/a/b'])
      expect(uriOf(parseStoreUri(uri))).toBe(uri);
    expect(uriOf(folderIn(parseStoreUri('s3://bucket'), 'run'), 'run.json')).toBe(
      's3://bucket/run/run.json',
    );
    expect(uriOf(folderIn(parseStoreUri('file:/srv'), 'run'), 'run.json')).toBe(
      'file:/srv/run/run.json',
    );
  });
});

describe('names in a store', () => {
  it.each(badNames)('must not be %j', (name) => expect(isStoreName(name)).toBe(false));
  it.each(['run.json', 'artifacts/loss.svg', 'a/b/c/d/e', '-x', '_'])('may be %j', (name) =>
    expect(isStoreName(name)).toBe(true),
  );

  it('never lead out of the store, for any sequence of parts', () => {
    const part = fc.constantFrom(
      '..',
      '.',
      '/',
      '\\',
      '\0',
      'a',
      'Z',
      '9',
      '_',
      '-',
      ' ',
      '%2e',
      'ü',
      ':',
      '~',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const name = parts.join('');
        if (!isStoreName(name)) return;
        expect(resolve('/store', name)).toBe(`/store/${name}`);
        expect(new URL(`http://host/bucket/${keyOf({ prefix: 'p' }, name)}`).pathname).toBe(
          `/bucket/p/${name}`,
        );
      }),
      { numRuns: 5000 },
    );
  });
});
