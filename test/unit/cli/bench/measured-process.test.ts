import { expect, it } from 'vitest';
import { MeasuredProcess } from '../../../../cli/bench/measured-process.ts';

it('measured processes share one exit listener in their parent', async () => {
  const before = process.listenerCount('exit');
  const task = { kind: 'engine', engine: 'reference' } as const;
  const all = [1, 2].map((i) => new MeasuredProcess(`a process ${i}`, task, process.env));
  expect(process.listenerCount('exit')).toBe(before);
  for (const each of all) each.kill();
  await Promise.all(all.map((each) => each.end()));
});
