import { expect, it } from 'vitest';
import { fixFor } from '../../../../cli/processes/replay-workers.ts';
import { processorName } from '../../../../worker/engines/engine.ts';

const ran = {
  kind: 'tensorflow',
  library: 'TensorFlow 2.21.0',
  device: 'cpu',
  processor: processorName(),
  threads: 1,
} as const;
const REPEAT = 'leave out --engine, --device and --threads';

it('does not advise the same command if the two engines have the same description', () => {
  const same = 'w0 is ready (TensorFlow 2.21.0, cpu), but its engine differs';
  expect(fixFor(ran, same)).toMatch(/descriptions are equal; what can differ: .*environment/);
  expect(fixFor(ran, same)).not.toContain(REPEAT);
});

it('advises the options of a run whose engine has a different description', () => {
  expect(fixFor(ran, 'w0 is ready (wasm 4.22.0, cpu)')).toContain(REPEAT);
  expect(fixFor({ ...ran, processor: 'another' }, 'w0 (TensorFlow 2.21.0, cpu)')).toContain(REPEAT);
  expect(fixFor(undefined, '')).toContain('does not record the engine');
});
