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
  expect(names.toSorted()).toEqual([
    'model.keras',
    'model.onnx',
    'pytorch.safetensors',
    'saved_model',
    'saved_model/assets.extra',
    'saved_model/assets.extra/metadata.json',
    'saved_model/saved_model.pb',
    'tfjs',
    'tfjs/model.json',
    'tfjs/weights.bin',
  ]);
  expect(printed.error).toBe('');
  expect(printed.out).toMatch(
    new RegExp(`^${join(exported, 'model.onnx')}  [\\d,]+ bytes  sha256 [0-9a-f]{64}$`, 'm'),
  );
  const metadata = join(exported, 'saved_model', 'assets.extra', 'metadata.json');
  expect(JSON.parse(readFileSync(metadata, 'utf8'))).toMatchObject({
    class_names: ['lying', 'standing'],
    image: { rows: 7, columns: 7, channels: 1 },
    step: 7,
  });
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
    fix: 'allowed: onnx, savedmodel, tfjs, keras, safetensors',
  });
});

it('replaces a file only with --overwrite, and otherwise writes none of the others', async () => {
  const out = join(folder, 'out');
  const extra = join(out, 'saved_model', 'assets.extra');
  mkdirSync(extra, { recursive: true });
  const metadata = join(extra, 'metadata.json');
  writeFileSync(metadata, 'mine');
  await expect(write({ to: 'savedmodel', out })).rejects.toMatchObject({
    code: 'USAGE',
    message: `${metadata} exists and differs`,
    fix: expect.stringContaining('--overwrite'),
  });
  expect(readdirSync(join(out, 'saved_model'))).toEqual(['assets.extra']);
  expect(readFileSync(metadata, 'utf8')).toBe('mine');
  expect(await write({ to: 'savedmodel', out, overwrite: true })).toBe(0);
  // The same bytes may be written again.
  expect(await write({ to: 'savedmodel', out })).toBe(0);
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
