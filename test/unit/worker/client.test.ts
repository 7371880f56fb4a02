import { describe, expect, it, onTestFinished } from 'vitest';
import { SHARED_MEMORY_BUFFERS } from '../../../shared/limits.ts';
import type { Computation } from '../../../worker/computation.ts';
import { startHonest, until } from '../../hostile/honest.ts';
import { computationOf, expectUnharmed, startTarget } from '../../hostile/target.ts';
import { Proxy } from '../../fixtures/tcp-proxy.ts';

const busy = [{ index: 0, utilization: 0.5, powerWatts: 70 }];
const idle = [{ index: 0, utilization: 0 }];

describe("a worker's GPU report", () => {
  it('is sent once the worker is ready', async () => {
    const target = await startTarget();
    let go: ((computation: Computation) => void) | undefined;
    const prepare = () => new Promise<Computation>((resolve) => (go = resolve));
    const client = startHonest(target.port, 'w', prepare, onTestFinished);
    client.report(busy);
    await until(
      () => go !== undefined,
      () => 'the worker does not prepare',
    );
    client.report(busy);
    client.report(idle);
    go?.(await computationOf(target.configuration));
    await until(
      () => target.devices.length > 0,
      () => 'no report arrives',
    );
    expect(target.devices[0]).toEqual({ worker: 'w', gpus: idle });
  });

  it('is sent again on the next connection after the first one is cut', async () => {
    const target = await startTarget();
    const proxy = await Proxy.open(target.port);
    const computation = await computationOf(target.configuration);
    const client = startHonest(Number(new URL(proxy.url).port), 'w', computation, onTestFinished);
    client.report(busy);
    const heard = (times: number) =>
      until(
        () => target.devices.length === times,
        () => `${target.devices.length} reports arrived, not ${times}`,
      );
    await heard(1);
    proxy.cutAfter('down', 1);
    await until(
      () => proxy.cuts > 0,
      () => 'the connection is not cut',
    );
    proxy.release();
    await heard(2);
    expect(target.devices).toEqual([
      { worker: 'w', gpus: busy },
      { worker: 'w', gpus: busy },
    ]);
  });
});

it.skipIf(process.platform !== 'linux')(
  'a suspended worker whose weights in shared memory were overwritten dials again and resumes',
  async () => {
    const target = await startTarget();
    const proxy = await Proxy.open(target.port);
    const computation = await computationOf(target.configuration);
    startHonest(Number(new URL(proxy.url).port), 'sleeper', computation, onTestFinished);
    const delivers = (times: number) =>
      until(
        () => target.deliveries('sleeper') === times,
        () =>
          `the worker has delivered on ${target.deliveries('sleeper')} connections, not ${times}`,
      );
    await delivers(1);
    // Its weights stay unread in its socket's buffer; the other workers finish the step without it.
    proxy.stall('down');
    await target.advances(2);
    proxy.abandon();
    // After this many steps, every buffer of the shared memory has been reused.
    await target.advances(2 * SHARED_MEMORY_BUFFERS);
    proxy.release();
    await delivers(2);
    await expectUnharmed(target);
  },
);
