import { expect, it } from 'vitest';
import { model } from '../../../../cli/commands/model.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { captured } from '../../../fixtures/captured-output.ts';

it('a model is printed although a variable describes an mlp, unless a flag does', async () => {
  const settings = {
    hidden: [64],
    dropout: 0.2,
    model: undefined,
    config: undefined,
    data: undefined,
    imageSize: undefined,
    testSplit: undefined,
  };
  const printed = captured();
  await model(settings, { operands: ['convnet'], flags: new Set() });
  expect(printed.out).toContain('conv2d.1');
  const refused = model(settings, { operands: ['convnet'], flags: new Set(['hidden']) });
  await expect(refused).rejects.toMatchObject({ code: 'USAGE' });
});

it('a variable or a file names the model if no operand does', async () => {
  const printed = captured();
  const parsed = parseCommand(['model'], { MNIST_DIST_MODEL: 'convnet' }, '1.2.3');
  if (parsed.command !== 'model') throw new Error('not a command');
  expect(await parsed.run()).toBe(0);
  expect(printed.out).toContain('Model convnet');
});

it('the options that were given by a flag are known', () => {
  const parsed = parseCommand(['model', '--dropout', '0.1'], { MNIST_DIST_HIDDEN: '64' }, '1.2.3');
  expect(parsed).toMatchObject({
    flags: new Set(['dropout']),
    explicit: new Set(['hidden', 'dropout']),
  });
});
