import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { fromBufferPromise } from 'yauzl';
import { zipped } from '../../../../cli/export/zip-file.ts';

it('writes an archive that another library reads, without the time', async () => {
  const files = { 'a.json': '{}', 'folder/b.bin': '\u0001\u0002', empty: '' };
  const list = Object.entries(files).map(([name, text]) => ({ name, bytes: Buffer.from(text) }));
  const zip = await fromBufferPromise(Buffer.from(zipped(list)));
  const found: Record<string, string> = {};
  for await (const entry of zip.eachEntry()) {
    found[entry.fileName] = await text(await zip.openReadStreamPromise(entry));
    expect(entry.getLastModDate({ timezone: 'UTC' }).toISOString()).toMatch(/^1980-01-01T00:00/);
  }
  expect(found).toEqual(files);
});
