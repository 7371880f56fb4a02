import { expect, it, onTestFinished } from 'vitest';
import { startHonest, until } from '../hostile/honest.ts';
import { computationOf, startTarget } from '../hostile/target.ts';
import { Proxy } from '../process/proxy.ts';

it("a worker's word about its GPUs waits until it is ready, and is said again to who did not hear it", async () => {
  const target = await startTarget();
  const proxy = await Proxy.open(target.port);
  const computation = await computationOf(target.configuration);
  const client = startHonest(Number(new URL(proxy.url).port), 'w', computation, onTestFinished);
  const said = { worker: 'w', gpus: [{ index: 0, utilization: 0.5, powerWatts: 70 }] };
  client.report(said.gpus);
  const heard = (times: number) =>
    until(
      () => target.devices.length === times,
      () => `heard ${target.devices.length} times, not ${times}`,
    );
  await heard(1);
  proxy.cutAfter('down', 1);
  await until(
    () => proxy.cuts > 0,
    () => 'the connection is not cut',
  );
  proxy.release();
  await heard(2);
  expect(target.devices).toEqual([said, said]);
});
