import { describe, expect, it } from 'vitest';
import { WorkerLabels } from '../../../../dashboards/metrics/worker-labels.ts';
import { StepRate } from '../../../../dashboards/feed/step-rate.ts';
import { PhaseTimes, type WorkerPhases } from '../../../../dashboards/feed/worker-phases.ts';
import { TimeShares } from '../../../../dashboards/feed/time-shares.ts';
import { MAX_OBSERVED_WORKERS } from '../../../../shared/limits.ts';

function stepOf(phases: PhaseTimes): WorkerPhases[] {
  const all: WorkerPhases[] = [];
  phases.step((each) => all.push(each));
  return all;
}

describe('the phases of a step', () => {
  it("are each worker's compute time, and the rest of the time until its last result", () => {
    const phases = new PhaseTimes();
    phases.result({ worker: 'a', microseconds: 1000, milliseconds: 1.5 });
    phases.result({ worker: 'b', microseconds: 500, milliseconds: 2 });
    phases.result({ worker: 'a', microseconds: 2000, milliseconds: 4 });
    expect(stepOf(phases)).toEqual([
      { worker: 'a', compute: 3, exchange: 1 },
      { worker: 'b', compute: 0.5, exchange: 1.5 },
    ]);
    phases.result({ worker: 'b', microseconds: 250, milliseconds: 1 });
    expect(stepOf(phases)).toEqual([{ worker: 'b', compute: 0.25, exchange: 0.75 }]);
    expect(stepOf(phases)).toEqual([]);
  });

  it('are never negative, even if a worker reports a time that is too long', () => {
    const phases = new PhaseTimes();
    phases.result({ worker: 'liar', microseconds: 9e15, milliseconds: 2 });
    expect(stepOf(phases)).toEqual([{ worker: 'liar', compute: 2, exchange: 0 }]);
  });

  it('become shares of recent time', () => {
    const shares = new TimeShares();
    for (let turn = 0; turn < 100; turn++) {
      shares.add({ worker: 'a', compute: 3, exchange: 1 });
      shares.step(5);
      shares.turn(100);
    }
    expect(shares.of('a').computing).toBeCloseTo(0.6, 3);
    expect(shares.of('a').exchanging).toBeCloseTo(0.2, 3);
    for (let turn = 0; turn < 100; turn++) {
      shares.step(5);
      shares.turn(100);
    }
    expect(shares.of('a').computing).toBeLessThan(0.001);
    expect(shares.of('unknown')).toEqual({ computing: 0, exchanging: 0 });
  });
});

describe('worker labels', () => {
  it("are the workers' names, up to a limit, and are kept once assigned", () => {
    const labels = new WorkerLabels();
    for (let i = 0; i < MAX_OBSERVED_WORKERS; i++) expect(labels.of(`w${i}`)).toBe(`w${i}`);
    expect(labels.of('one more')).toBe('other');
    expect(labels.of('w0')).toBe('w0');
  });
});

describe('the remaining time', () => {
  it('follows the recent step rate', () => {
    const stepRate = new StepRate();
    expect(stepRate.secondsFor(10, 0)).toBeUndefined();
    for (let second = 0; second <= 100; second++) stepRate.turn(10 * second, 1000 * second);
    expect(stepRate.secondsFor(50, 100_000)).toBeCloseTo(5, 6);
    // Without new steps, as during an evaluation, the estimate stays for a while, but not forever.
    stepRate.turn(1000, 104_000);
    expect(stepRate.secondsFor(50, 104_000)).toBeCloseTo(5, 6);
    expect(stepRate.secondsFor(50, 106_000)).toBeUndefined();
  });

  it('follows the step rate even if steps are rare', () => {
    const stepRate = new StepRate();
    for (let turn = 0; turn <= 500; turn++) stepRate.turn(Math.floor(turn / 10), 200 * turn);
    expect(stepRate.secondsFor(50, 100_000)).toBeCloseTo(100, 6);
  });

  it('is unknown while the run waits for workers, and is the same once they have joined', () => {
    const stepRate = new StepRate();
    for (let second = 0; second <= 100; second++) stepRate.turn(10 * second, 1000 * second);
    stepRate.turn(1000, 101_000, true);
    expect(stepRate.secondsFor(50, 101_000)).toBeUndefined();
    stepRate.turn(1000, 500_000);
    stepRate.turn(1010, 501_000);
    expect(stepRate.secondsFor(50, 501_000)).toBeCloseTo(5, 6);
  });
});
