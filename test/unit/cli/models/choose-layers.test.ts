import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { chooseLayers, MODEL_TEXT, modelFor } from '../../../../cli/models/choose-layers.ts';
import { summaryLines } from '../../../../cli/commands/model.ts';
import { differingModel } from '../../../../cli/models/resumed-model.ts';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';
import { convnetModel, everyLayerModel } from '../../../fixtures/engine/models.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const options = { model: undefined, hidden: [128], dropout: 0.2 };
const mnist = { rows: 28, columns: 28, classes: 10 };

function file(text: string): string {
  const path = join(temporaryFolder(), 'net.yaml');
  writeFileSync(path, text);
  return path;
}

describe('the layers to train', () => {
  it('are those of --hidden and --dropout by default', () => {
    for (const model of [undefined, 'mlp'])
      expect(modelFor(chooseLayers({ ...options, model }), mnist)).toEqual(
        denseModel([28, 28], [128], 0.2, 10),
      );
  });

  it("are those of Keras' example for convnet", () => {
    const model = modelFor(chooseLayers({ ...options, model: 'convnet' }), mnist);
    expect(model).toEqual(convnetModel);
  });

  it('are read from a file, also from a pipe', () => {
    const path = file('- flatten\n- dense: {units: 3}\n');
    const layers = [{ kind: 'flatten' }, { kind: 'dense', units: 3, activation: 'linear' }];
    expect(chooseLayers({ ...options, model: path })).toMatchObject({ name: path, layers });
    const pipe = join(temporaryFolder(), 'pipe.yaml');
    execFileSync('mkfifo', [pipe]);
    execFileSync('sh', ['-c', `(echo "- flatten" > "$0") > /dev/null 2>&1 &`, pipe]);
    expect(chooseLayers({ ...options, model: pipe }).layers).toEqual([{ kind: 'flatten' }]);
  });

  it('come from the environment if a supervisor has read the file', () => {
    const environment = { [MODEL_TEXT]: '- flatten' };
    const chosen = chooseLayers({ ...options, model: 'gone.yaml' }, environment);
    expect(chosen).toMatchObject({ name: 'gone.yaml', layers: [{ kind: 'flatten' }] });
  });

  it.each([
    ['convnt', 'did you mean convnet?'],
    ['none.yaml', 'Allowed: mlp, convnet, or a YAML file'],
  ])('are not read from %s', (model, fix) => {
    expect(() => chooseLayers({ ...options, model })).toThrow(
      expect.objectContaining({ code: 'USAGE', fix: expect.stringContaining(fix) }),
    );
  });

  it('are not read from a folder, a large file or bytes that are not UTF-8', () => {
    for (const [path, what] of [
      [temporaryFolder(), 'folder'],
      [file('#'.repeat(70_000)), 'MAX_MODEL_DESCRIPTION_BYTES'],
    ] as const)
      expect(() => chooseLayers({ ...options, model: path })).toThrow(what);
    const path = file('');
    writeFileSync(path, Uint8Array.of(0xff, 0xfe));
    expect(() => chooseLayers({ ...options, model: path })).toThrow('not UTF-8');
  });

  it.each([
    ['- dense: {units: 3}', 'net.yaml:1: layer 1 (dense) needs a vector, but gets an image'],
    [
      '- flatten\n\n- conv2d: {filters: 3, kernel_size: 3}',
      'net.yaml:3: layer 2 (conv2d) needs an image, but gets a vector',
    ],
    [
      '- max_pooling2d: {pool_size: 20}\n- max_pooling2d',
      'net.yaml:2: layer 2 (max_pooling2d) has a window of 2 x 2, larger than its input of 1 x 1',
    ],
    ['- max_pooling2d', 'net.yaml: the last layer (dense 10, one unit per class) needs a vector'],
  ])('%j do not fit images of MNIST', (text, message) => {
    const chosen = chooseLayers({ ...options, model: file(text) });
    expect(() => modelFor(chosen, mnist)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(message) }),
    );
  });

  it('do not fit small images, with the whole advice', () => {
    const chosen = chooseLayers({ ...options, model: 'convnet' });
    expect(() => modelFor(chosen, { rows: 1, columns: 1, classes: 2 })).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/larger than its input of 1 x 1$/),
        fix: 'use a smaller window, or padding: same',
      }),
    );
  });
});

describe('the summary of a model', () => {
  it('has a line for each layer, and the bytes of a step', () => {
    const lines = summaryLines('convnet', convnetModel);
    expect(lines[0]).toBe('Model convnet for images of 28 x 28 pixels in 10 classes');
    expect(lines).toContain('conv2d.1 (conv2d)                11 x 11 x 64      18,496');
    expect(lines).toContain('flatten.0 (flatten)              1600                   0');
    expect(lines).toContain('dense.0 (dense)                  10                16,010');
    expect(lines.join('\n')).toContain('Total parameters: 34,826 (139,304 bytes)');
    expect(lines.join('\n')).toContain('139,308 bytes');
  });
});

describe('the model of a resumed run', () => {
  const dense = denseModel([28, 28], [64], 0.2, 10);
  const same = '- conv2d: {filters: 32, kernel_size: 3, activation: relu}\n- max_pooling2d\n';
  const rest =
    '- conv2d: {filters: 64, kernel_size: 3, activation: relu}\n- max_pooling2d\n- flatten\n';

  it('is adopted if no option says otherwise', () => {
    expect(differingModel({ ...options, model: 'convnet' }, new Set(), dense)).toEqual([]);
  });

  it.each([
    [{ hidden: [128] }, dense, ['--hidden 64, not 128']],
    [{ hidden: [64], dropout: 0.2 }, dense, []],
    [{ dropout: 0.5 }, dense, ['--dropout 0.2, not 0.5']],
    [{ model: 'mlp' }, dense, []],
    [{ model: 'convnet' }, convnetModel, []],
    [{ model: 'convnet' }, dense, ['layer 1 of --model is flatten, not conv2d 32 3x3 relu']],
    [
      { model: 'convnet' },
      everyLayerModel,
      ['layer 1 of --model is dropout 0.1, not conv2d 32 3x3 relu'],
    ],
    [{ model: 'net.yaml', text: `${same}${rest}- dropout: {rate: 0.5}` }, convnetModel, []],
    [
      { model: 'net.yaml', text: `${same}${rest}- dropout: {rate: 0.4}` },
      convnetModel,
      ['layer 6 of --model is dropout 0.5, not dropout 0.4'],
    ],
    [
      { model: 'net.yaml', text: same + rest },
      convnetModel,
      ['layer 6 of --model is dropout 0.5, not missing'],
    ],
  ])('with %j differs by what is named', (given, recorded, expected) => {
    const explicit = new Set(
      (['model', 'hidden', 'dropout'] as const).filter((key) => key in given),
    );
    const named = 'text' in given ? { model: file(given.text) } : given;
    expect(differingModel({ ...options, ...named }, explicit, recorded)).toEqual(expected);
  });

  it('is not mlp', () => {
    const given = { ...options, model: 'mlp' };
    expect(differingModel(given, new Set(['model', 'hidden']), convnetModel)).toEqual([
      expect.stringMatching(/^--model conv2d 32 3x3 relu - .*, not mlp$/),
    ]);
    expect(differingModel(options, new Set(['hidden', 'dropout']), convnetModel)).toEqual([
      expect.stringMatching(/^--model conv2d 32 3x3 relu - .*, which has no --hidden$/),
      expect.stringMatching(/^--model conv2d 32 3x3 relu - .*, which has no --dropout$/),
    ]);
  });
});
