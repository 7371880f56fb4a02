import { describe, expect, it } from 'vitest';
import { WorkerGroup } from '../../../../cli/processes/worker-group.ts';
import type { Log } from '../../../../cli/terminal/log.ts';
import { errorTable } from '../../../../shared/errors.ts';

const log: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A fake worker, which runs until the test ends it. */
class FakeWorker {
  readonly name: string;
  readonly ended: Promise<number>;
  stopped = false;
  readonly #resolve: (code: number) => void;

  constructor(name: string) {
    this.name = name;
    let settle: (code: number) => void = () => undefined;
    this.ended = new Promise((resolve) => {
      settle = resolve;
    });
    this.#resolve = settle;
  }

  async endWith(code: number): Promise<void> {
    this.#resolve(code);
    await this.ended;
  }

  lastLines(): string[] {
    return [];
  }

  stop(): void {
    this.stopped = true;
    this.#resolve(errorTable.RUN_FAILED.exit);
  }

  kill(): void {}

  async end(): Promise<void> {
    await this.ended;
  }
}

function groupOf(count: number, minWorkers: number) {
  const workers = Array.from({ length: count }, (_, i) => new FakeWorker(`w${i}`));
  const told: string[] = [];
  let isOver = false;
  const group = new WorkerGroup({
    workers,
    minWorkers,
    log,
    showsLastLines: true,
    isOver: () => isOver,
    lost: (left) => told.push(`${left} left`),
    failed: (worker, code) => told.push(`${worker.name} failed with ${code}`),
  });
  const end = async (name: number, code: number): Promise<void> => {
    await workers[name]?.endWith(code);
    await new Promise(setImmediate);
  };
  return { group, workers, told, end, over: () => (isOver = true) };
}

describe("a computation's workers", () => {
  it('continue without a worker that ended, while enough are left', async () => {
    const { told, end } = groupOf(3, 2);
    await end(1, errorTable.ENGINE.exit);
    expect(told).toEqual(['2 left']);
  });

  it('fail when too few are left, with the error from the first that ended', async () => {
    const { told, end } = groupOf(3, 2);
    await end(1, errorTable.ENGINE.exit);
    await end(0, errorTable.FINGERPRINT.exit);
    await end(2, errorTable.FINGERPRINT.exit);
    expect(told).toEqual(['2 left', `w1 failed with ${errorTable.ENGINE.exit}`]);
  });

  it('fail when no worker is left, even with a minimum of 0', async () => {
    const { told, end } = groupOf(1, 0);
    await end(0, errorTable.UNEXPECTED.exit);
    expect(told).toEqual([`w0 failed with ${errorTable.UNEXPECTED.exit}`]);
  });

  it('do not report a failure of their own when their coordinator has failed', async () => {
    const { told, end } = groupOf(2, 2);
    await end(0, errorTable.RUN_FAILED.exit);
    await end(1, errorTable.RUN_FAILED.exit);
    expect(told).toEqual([]);
  });

  it('report nothing once the computation is over', async () => {
    const { told, end, over } = groupOf(2, 2);
    over();
    await end(0, errorTable.ENGINE.exit);
    expect(told).toEqual([]);
  });

  it('are stopped and awaited at the end', async () => {
    const { group, workers } = groupOf(2, 1);
    await group.end(true);
    expect(workers.map(({ stopped }) => stopped)).toEqual([true, true]);
  });
});
