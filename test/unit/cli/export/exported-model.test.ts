import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  checkExportSize,
  exportedModel,
  transposed,
} from '../../../../cli/export/exported-model.ts';
import { exportFiles } from '../../../../cli/export/export-files.ts';
import { exportFormats } from '../../../../cli/export/export-formats.ts';
import {
  denseModel,
  inputCount,
  type ModelShape,
} from '../../../../shared/arithmetic/model-shape.ts';
import { initialWeights } from '../../../../shared/arithmetic/random.ts';
import { encodeModel } from '../../../../shared/files/model-file.ts';
import { decodeTensors } from '../../../../shared/files/safetensors.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { everyLayerModel } from '../../../fixtures/engine/models.ts';

function sourceOf(model: ModelShape, rows = model.rows, columns = model.columns) {
  const file = {
    configuration: { ...configurationFixture, model },
    step: 7,
    chain: 'ab'.repeat(32),
    weights: initialWeights(1, model),
  };
  const classNames = Array.from({ length: model.classes }, (_, i) => `class "${i}" ä`);
  return { ...file, bytes: encodeModel(file), rows, columns, classNames };
}

const models = { mlp: denseModel([28, 28], [16], 0.2, 10), 'every layer': everyLayerModel };

/** SHA-256 of the files of each model. */
const digests: Readonly<Record<string, readonly string[]>> = {
  mlp: [
    'model.onnx 018afedb7eb511b0921999ef2de1e003131c1d1386c882413303a67e5086d30c',
    'saved_model/saved_model.pb 056c1e5834aafb8f9aba162c20e88d20a9534f8a55e5faa433d55c8a5263ca02',
    'saved_model/assets.extra/metadata.json ad036b1d05dba330d35319a31505c2fc139f631cb259a152e712cad829408bc8',
    'tfjs/model.json e436f126e12cd7aae8af78792310deaf9af86bee6d34c9781025ca092f99e0e3',
    'tfjs/weights.bin 8fb0ca2072861452075dadfeb29233c620cc850232190944ae5f6724a331bb9f',
    'model.keras 42d4729de0c4b7c308ad8fba50f4e82fa797583231ccafcfba3f4f6b68a9d6da',
    'pytorch.safetensors 255ca9e77d9c9fba4812677ecffc8d6d3e5efe8e933cd778cfa0abb4fefce200',
  ],
  'every layer': [
    'model.onnx 8ca598e73bc3f89d83a6cdfb71bc840b662fd0be4e67c2d8726a02fdaa41d4e1',
    'saved_model/saved_model.pb 49859cec4296ecb29fd02a3e6b721e8cc6ae972e18c28be3ae658612882b7579',
    'saved_model/assets.extra/metadata.json 177638faa84fdcbcc73d0126b47b8e5dd2fa09f69e71eeb280a349135f958886',
    'tfjs/model.json 52dc41cd8671e02615db05786297a5148ce88842b3574e00bbcac47113633c55',
    'tfjs/weights.bin 60b4c8884aeb8e03f9491197801e94ba8721b37c52fd9914a0aa43fb7bce8ed9',
    'model.keras cc2dc06036d07a7fe3f87f4ae5e3e3b5a32e4ba467891204583f0a6878e54bef',
    'pytorch.safetensors 1f4019f1a0cadf52716b2b010e03fb223683984a954122d85357042bdbd019bc',
  ],
};

// A change of these bytes is a change of the format: say so in CHANGELOG.
it.each(Object.entries(models))('writes the same bytes as before: %s', (name, model) => {
  const found = exportFormats.flatMap((format) =>
    exportFiles(format, exportedModel(sourceOf(model))).map(
      ({ name: file, bytes }) => `${file} ${createHash('sha256').update(bytes).digest('hex')}`,
    ),
  );
  expect(found).toEqual(digests[name]);
});

it.each(exportFormats)('contains the metadata: %s', (format) => {
  const files = exportFiles(format, exportedModel(sourceOf(everyLayerModel)));
  const text = files.map(({ bytes }) => Buffer.from(bytes).toString('utf8')).join('');
  // As JSON, or as JSON in a string of JSON.
  for (const part of ['normalization', 'float32(pixel) / 255', 'model_sha256', 'ab'.repeat(32)])
    expect(text).toContain(part);
  expect(text).toMatch(/class \\+"3\\+" ä/);
});

it('gives a dense model of an older version the rows and columns of its images', () => {
  const exported = exportedModel(sourceOf(denseModel([1, 784], [4], 0, 10), 28, 28));
  expect(exported.model).toMatchObject({ rows: 28, columns: 28 });
  expect(inputCount(exported.model)).toBe(784);
});

it('names the modules of PyTorch, and leaves them out where it has none', () => {
  const metadataOf = (model: ModelShape) => {
    const [file] = exportFiles('safetensors', exportedModel(sourceOf(model)));
    return decodeTensors(file?.bytes ?? new Uint8Array(), 'file');
  };
  const { metadata, tensors } = metadataOf(models.mlp);
  expect(metadata['module']).toBe(
    'torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 16), torch.nn.ReLU(), ' +
      'torch.nn.Dropout(0.2), torch.nn.Linear(16, 10))',
  );
  expect(tensors.map(({ name, shape }) => [name, shape])).toEqual([
    ['1.weight', [16, 784]],
    ['1.bias', [16]],
    ['4.weight', [10, 16]],
    ['4.bias', [10]],
  ]);
});

it('refuses a model whose files would be too large, with the limit and a way out', () => {
  expect(() => checkExportSize('m', 2 ** 29)).not.toThrow();
  expect(() => checkExportSize('m', 2 ** 29 + 4)).toThrow(
    expect.objectContaining({
      code: 'LIMIT',
      message: expect.stringMatching(/^the model m has 536,870,916 .* \(MAX_EXPORTED_BYTES\)$/),
    }),
  );
});

describe('transposed', () => {
  it('orders the axes of a matrix and of an array with more axes', () => {
    const data = Float32Array.from({ length: 24 }, (_, i) => i);
    const matrix = transposed({ shape: [2, 3], data: data.subarray(0, 6) }, [1, 0]);
    expect(matrix).toEqual({ shape: [3, 2], data: Float32Array.of(0, 3, 1, 4, 2, 5) });
    const result = transposed({ shape: [2, 3, 4], data }, [2, 0, 1]);
    expect(result.shape).toEqual([4, 2, 3]);
    for (let a = 0; a < 2; a++)
      for (let b = 0; b < 3; b++)
        for (let c = 0; c < 4; c++)
          expect(result.data[(c * 2 + a) * 3 + b]).toBe(data[(a * 3 + b) * 4 + c]);
  });
});
