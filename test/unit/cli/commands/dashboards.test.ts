import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { dashboards } from '../../../../cli/commands/dashboards.ts';
import { dashboardFiles } from '../../../../dashboards/grafana/dashboard-files.ts';
import { captured } from '../../../fixtures/captured-output.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let folder: string;
let printed: ReturnType<typeof captured>;
beforeEach(() => {
  folder = temporaryFolder();
  printed = captured();
});

const write = (out: string | undefined, overwrite = false) =>
  dashboards({ config: undefined, out, overwrite });
const files = dashboardFiles();
const first = files[0]?.name ?? '';

it('writes every dashboard into a new folder and says how to import them', async () => {
  const out = join(folder, 'new', 'folder');
  expect(await write(out)).toBe(0);
  expect(readdirSync(out).toSorted()).toEqual(files.map(({ name }) => name).toSorted());
  for (const { name, text, title } of files) {
    expect(readFileSync(join(out, name), 'utf8')).toBe(text);
    expect(printed.out).toContain(`${join(out, name)}  ${title}\n`);
  }
  expect(printed.out).toContain('Import');
});

it('creates a folder of its own without --out and leaves a checkout unchanged', async () => {
  const before = process.cwd();
  process.chdir(folder);
  onTestFinished(() => process.chdir(before));
  await write(undefined);
  expect(readdirSync('.')).toEqual(['mnist-dist-dashboards']);
  expect(existsSync(join(before, 'mnist-dist-dashboards'))).toBe(false);
});

it('replaces an older dashboard of its own only with --overwrite', async () => {
  writeFileSync(
    join(folder, first),
    (files[0]?.text ?? '').replace('"version": 1', '"version": 7'),
  );
  await expect(write(folder)).rejects.toMatchObject({
    code: 'USAGE',
    fix: expect.stringContaining('--overwrite'),
  });
  expect(readFileSync(join(folder, first), 'utf8')).not.toBe(files[0]?.text);
  await write(folder, true);
  expect(await write(folder)).toBe(0);
  expect(readFileSync(join(folder, first), 'utf8')).toBe(files[0]?.text);
});

it.each(['{"uid":"mine","title":"of another program"}', '', 'no JSON'])(
  "refuses to replace another program's file (%s) and does not write any files",
  async (text) => {
    const last = files.at(-1)?.name ?? '';
    writeFileSync(join(folder, last), text);
    await expect(write(folder)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(last),
    });
    expect(readdirSync(folder)).toEqual([last]);
    expect(readFileSync(join(folder, last), 'utf8')).toBe(text);
  },
);

it('reports the folder that it cannot create', async () => {
  writeFileSync(join(folder, 'file'), '');
  await expect(write(join(folder, 'file'))).rejects.toMatchObject({ code: 'DISK' });
});
