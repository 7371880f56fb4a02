import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { AwakeClock } from '../../../shared/clock.ts';
import { SUSPENSION_MILLISECONDS } from '../../../shared/limits.ts';

/**
 * A clock, and a function that advances its elapsed time and its processor time, in milliseconds.
 */
function clockOfProcess() {
  let passed = 1_000;
  let used = 300;
  const clock = new AwakeClock(
    () => passed,
    () => used,
  );
  const after = (milliseconds: number, computing: number): number => {
    passed += milliseconds;
    used += computing;
    return clock.now();
  };
  return { clock, after };
}

it('a clock stops while its process is suspended, and never runs backwards', () => {
  const { clock, after } = clockOfProcess();
  const begun = clock.now();
  expect(after(500, 500) - begun).toBe(500);
  expect(after(SUSPENSION_MILLISECONDS - 1, 0) - begun).toBe(500 + SUSPENSION_MILLISECONDS - 1);
  const asleep = clock.now();
  expect(after(26_000, 0)).toBe(asleep);
  expect(after(86_400_000, 10)).toBe(asleep);
  expect(after(10, 10)).toBe(asleep + 10);
});

it('a clock detects a suspension even if many threads were computing before it', () => {
  const { clock, after } = clockOfProcess();
  for (let look = 0; look < 100; look++) after(3, 3 * 16);
  const asleep = clock.now();
  expect(after(3_000, 5)).toBe(asleep);
});

it('a clock advances for a process whose computation blocks the event loop', () => {
  const { clock, after } = clockOfProcess();
  const begun = clock.now();
  for (let turn = 0; turn < 10; turn++) {
    after(2_500, 2_400);
    after(100, 20);
  }
  expect(clock.now() - begun).toBe(26_000);
});

it('the processor time of a process does not advance while it is stopped', async () => {
  const program = `
    const used = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    };
    require('node:fs').writeSync(1, '{');
    const [before, usedBefore] = [performance.now(), used()];
    process.kill(process.pid, 'SIGSTOP');
    const passed = performance.now() - before;
    process.stdout.write('"passed":' + passed + ',"used":' + (used() - usedBefore) + '}');`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let timer: NodeJS.Timeout | undefined;
  let text = '';
  for await (const piece of child.stdout) {
    timer ??= setInterval(() => child.kill('SIGCONT'), 400);
    text += String(piece);
  }
  clearInterval(timer);
  const { passed, used } = JSON.parse(text);
  expect(used).toBeLessThan(passed / 2);
});
