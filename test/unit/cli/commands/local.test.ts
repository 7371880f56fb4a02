import { expect, it } from 'vitest';
import { local } from '../../../../cli/commands/local.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { configurationRecord } from '../../../../shared/configuration.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { configuration, writeRun } from '../../../fixtures/model-file.ts';

it('rejects a resumed run whose model needs too much memory', async () => {
  const run = temporaryFolder();
  const model = { inputs: 60_000, hidden: [4096], classes: 2 };
  writeRun(run, {
    configuration: configurationRecord({ ...configuration, model, virtualShards: 8 }),
  });
  const parsed = parseCommand(['local', '--resume', run, '--port', '1'], {}, '1.2.3');
  if (parsed.command !== 'local') throw new Error(`parsed as ${parsed.command}`);
  await expect(local(parsed.options, parsed)).rejects.toMatchObject({
    code: 'LIMIT',
    message: expect.stringContaining('the model 60000-4096-2 with 8 virtual shards needs'),
  });
});
