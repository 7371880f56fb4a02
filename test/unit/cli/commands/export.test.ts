import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import { exportModel } from '../../../../cli/commands/export.ts';
import { exportFormats } from '../../../../cli/export/export-formats.ts';
import type { ExportOptions } from '../../../../cli/options/options.ts';
import { captured } from '../../../fixtures/captured-output.ts';
import { writeRun } from '../../../fixtures/model-file.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let folder: string;
let runDirectory: string;
let printed: ReturnType<typeof captured>;
beforeEach(() => {
  folder = temporaryFolder();
  runDirectory = join(folder, 'runs', 'a');
  mkdirSync(runDirectory, { recursive: true });
  writeRun(runDirectory);
  printed = captured();
});

const write = (options: Partial<ExportOptions>, model?: string) =>
  exportModel(
    {
      config: undefined,
      runsDir: join(folder, 'runs'),
      data: undefined,
      to: 'onnx',
      out: undefined,
      overwrite: false,
      ...options,
    },
    { operands: model === undefined ? [] : [model] },
  );

it('writes every format into the run directory by default, and prints digests', async () => {
  for (const to of exportFormats) expect(await write({ to })).toBe(0);
  const exported = join(runDirectory, 'export');
  const names = readdirSync(exported, { recursive: true, encoding: 'utf8' });
  expect(names.toSorted()).toEqual(['model.onnx']);
  expect(printed.error).toBe('');
  expect(printed.out).toMatch(
    new RegExp(`^${join(exported, 'model.onnx')}  [\\d,]+ bytes  sha256 [0-9a-f]{64}$`, 'm'),
  );
});

it('warns that the classes of a model without a run are numbers', async () => {
  const file = join(folder, 'alone.safetensors');
  writeFileSync(file, readFileSync(join(runDirectory, 'model.safetensors')));
  const before = process.cwd();
  process.chdir(folder);
  onTestFinished(() => process.chdir(before));
  await write({}, file);
  expect(printed.error).toContain('its classes are numbers (--data DIR adds names)');
  expect(existsSync(join(folder, 'export', 'model.onnx'))).toBe(true);
});

it('names the formats if --to is missing', async () => {
  await expect(write({ to: undefined })).rejects.toMatchObject({
    code: 'USAGE',
    fix: 'allowed: onnx',
  });
});

it('replaces a file only with --overwrite', async () => {
  const out = join(folder, 'out');
  mkdirSync(out);
  const file = join(out, 'model.onnx');
  writeFileSync(file, 'mine');
  await expect(write({ out })).rejects.toMatchObject({
    code: 'USAGE',
    message: `${file} exists and differs`,
    fix: expect.stringContaining('--overwrite'),
  });
  expect(readFileSync(file, 'utf8')).toBe('mine');
  expect(await write({ out, overwrite: true })).toBe(0);
  // The same bytes may be written again.
  expect(await write({ out })).toBe(0);
});

it('does not replace a folder, and names a folder that cannot be created', async () => {
  const out = join(folder, 'out');
  mkdirSync(join(out, 'model.onnx'), { recursive: true });
  const refused = { code: 'USAGE', fix: expect.stringContaining('a different folder') };
  await expect(write({ out, overwrite: true })).rejects.toMatchObject({
    ...refused,
    message: `${join(out, 'model.onnx')} is a folder`,
  });
  const file = join(folder, 'file');
  writeFileSync(file, '');
  await expect(write({ out: file })).rejects.toMatchObject(refused);
});
