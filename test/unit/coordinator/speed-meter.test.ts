import { expect, it } from 'vitest';
import { SpeedMeter } from '../../../coordinator/speed-meter.ts';

it('a speed meter counts the steps after the first 200, excluding evaluations', () => {
  let now = 0;
  const meter = new SpeedMeter(() => now);
  for (let step = 1; step <= 300; step++) {
    now += 2;
    meter.step(step);
    if (step % 50 !== 0) continue;
    now += 1000;
    meter.pause(1000);
  }
  expect(meter.stepsPerSecond()).toBe(500);
});

it('a speed meter has no value for a run that is too short', () => {
  const meter = new SpeedMeter(() => 0);
  for (let step = 1; step <= 200; step++) meter.step(step);
  expect(meter.stepsPerSecond()).toBeNull();
});
