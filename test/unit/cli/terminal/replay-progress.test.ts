import { expect, test } from 'vitest';
import { Output } from '../../../../cli/terminal/output.ts';
import { replayProgress } from '../../../../cli/terminal/replay-progress.ts';
import { openScreen } from '../../../../cli/terminal/live-terminal.ts';

function follow(isTTY: boolean, logFormat: 'text' | 'json' = 'text') {
  let output = '';
  let now = 0;
  let tick = (): void => undefined;
  const progress = replayProgress(
    openScreen({
      output: new Output(
        { isTTY, columns: 81, write: (text: string) => (output += text) },
        { NO_COLOR: '1' },
      ),
      logLevel: 'info',
      logFormat,
      clock: () => now,
      ticker: (task) => {
        tick = task;
        return () => (tick = () => undefined);
      },
    }),
    1000,
    3000,
  );
  const advance = (step: number, milliseconds: number): string => {
    now += milliseconds;
    progress.step(step);
    output = '';
    tick();
    return output;
  };
  return { advance, close: () => ((output = ''), progress.close(), output) };
}

test('a terminal shows the verified steps, the speed and the remaining time on a live line', () => {
  const { advance, close } = follow(true);
  expect(advance(1001, 60_000)).toContain('1 of 2,000 steps verified');
  const line = advance(1501, 1000);
  expect(line).toMatch(/#+-+  501 of 2,000 steps verified  500 steps\/s  0:03 left$/);
  expect(advance(1501, 1000)).toBe('');
  expect(close()).toBe('\r\u001b[K');
});

test('a file or a pipe gets log lines', () => {
  const { advance } = follow(false);
  advance(1001, 0);
  expect(advance(2001, 2000)).toMatch(
    /^\S+ 1,001 of 2,000 steps verified  500 steps\/s  0:02 left\n$/,
  );
  const json = follow(false, 'json');
  json.advance(1001, 0);
  const line: unknown = JSON.parse(json.advance(2001, 2000));
  expect(line).toMatchObject({
    event: 'progress',
    step: 2001,
    lastStep: 3000,
    stepsPerSecond: 500,
  });
});
