import { expect, it, vi } from 'vitest';
import { createTensorFlowEngine } from '../../../../worker/engines/tensorflow.ts';
import { loadGraph } from '../../../../worker/engines/graph-session.ts';
import type { loadGraphAddon } from '../../../../worker/native/addons/graphs.ts';
import type { loadSupport } from '../../../../worker/native/addons/support.ts';
import { createFixture } from '../../../fixtures/engine/engine-cases.ts';

vi.mock(import('../../../../worker/native/load.ts'), () => ({
  loadTensorFlow: () => ({ TF_Version: '2.21.0', isUsingGpuDevice: () => false }),
}));
vi.mock(import('../../../../worker/native/addons/support.ts'), () => ({
  loadSupport: vi.fn<typeof loadSupport>(),
}));
vi.mock(import('../../../../worker/native/addons/graphs.ts'), () => ({
  loadGraphAddon: vi.fn<typeof loadGraphAddon>(),
}));
vi.mock(import('../../../../worker/engines/graph-session.ts'), () => ({
  loadGraph: vi.fn<typeof loadGraph>(),
}));

it.each([
  ['is loaded', () => vi.mocked(loadGraph).mockImplementation(() => refuse())],
  [
    'is called first',
    () => vi.mocked(loadGraph).mockReturnValue({ run: () => refuse(), dispose: () => undefined }),
  ],
])("reports TensorFlow's error as ENGINE when a graph %s", (_, prepare) => {
  prepare();
  const { shape } = createFixture({ hidden: [8] });
  expect(() => createTensorFlowEngine(shape, { threads: 1, device: 'cpu' })).toThrow(
    expect.objectContaining({ code: 'ENGINE', message: expect.stringContaining('out of memory') }),
  );
});

function refuse(): never {
  throw new Error('out of memory');
}
