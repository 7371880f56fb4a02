import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { local } from '../../../../cli/commands/local.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { configurationRecord } from '../../../../shared/configuration.ts';
import { rawCertificate, unusualKeys } from '../../../fixtures/certificates.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { configuration, writeRun } from '../../../fixtures/model-file.ts';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';

/** Runs `local` on a run whose model needs too much memory. */
async function localWith(...flags: string[]): Promise<number> {
  const run = temporaryFolder();
  const model = denseModel([1, 60_000], [4096], 0, 2);
  writeRun(run, {
    configuration: configurationRecord({ ...configuration, model, virtualShards: 8 }),
  });
  const parsed = parseCommand(['local', '--resume', run, '--port', '1', ...flags], {}, '1.2.3');
  if (parsed.command !== 'local') throw new Error(`parsed as ${parsed.command}`);
  return await local(parsed.options, parsed);
}

it('rejects a resumed run whose model needs too much memory', async () => {
  await expect(localWith()).rejects.toMatchObject({
    code: 'LIMIT',
    message: expect.stringContaining('the model 60000 - 4096 - 2 with 8 virtual shards needs'),
  });
});

it("rejects a page's certificate that cannot be used, before it starts a process", async () => {
  const file = join(temporaryFolder(), 'pair.pem');
  const { publicKey, privateKey } = unusualKeys.DSA();
  const key = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(file, rawCertificate(publicKey, 'SHA-256') + key, { mode: 0o600 });
  const flags = ['--http-ssl-certfile', file, '--http-ssl-keyfile', file];
  await expect(localWith(...flags)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining(`${file} (--http-ssl-certfile) cannot be used`),
  });
  await expect(localWith(...flags, '--no-http')).rejects.toMatchObject({ code: 'LIMIT' });
});
