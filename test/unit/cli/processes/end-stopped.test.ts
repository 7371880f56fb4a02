import { beforeEach, describe, expect, it, vi } from 'vitest';
import { endStopped } from '../../../../cli/processes/end-stopped.ts';
import type { Ending as Signal } from '../../../../cli/processes/signals.ts';
import { CLOSE_LIMIT_MILLISECONDS, STOP_LIMIT_MILLISECONDS } from '../../../../shared/limits.ts';

let listeners: ((ending: Signal) => void)[] = [];
vi.mock('../../../../cli/processes/signals.ts', () => ({
  onSignal: (listener: (ending: Signal) => void) => {
    listeners.push(listener);
    return () => (listeners = listeners.filter((other) => other !== listener));
  },
}));

let said: string[] = [];
let kills = 0;
beforeEach(() => {
  [listeners, said, kills] = [[], [], 0];
  vi.useFakeTimers();
  return () => vi.useRealTimers();
});

const stopped = () =>
  endStopped({
    name: 'the coordinator',
    kill: () => void kills++,
    say: (line) => void said.push(line),
  });
const signal = (): void => listeners.forEach((listener) => listener('TERMINATED'));

describe('a process that was asked to stop', () => {
  it('may take its time, and is named once it takes long', () => {
    const ending = stopped();
    vi.advanceTimersByTime(CLOSE_LIMIT_MILLISECONDS - 1);
    signal();
    expect(said).toEqual([]);
    vi.advanceTimersByTime(STOP_LIMIT_MILLISECONDS - CLOSE_LIMIT_MILLISECONDS);
    expect(said).toEqual([expect.stringMatching(/^waiting for the coordinator to end; another/)]);
    ending.ended();
    vi.advanceTimersByTime(STOP_LIMIT_MILLISECONDS);
    expect({ kills, isForced: ending.isForced, listeners }).toEqual({
      kills: 0,
      isForced: false,
      listeners: [],
    });
  });

  it('is killed once by another signal when it takes long', () => {
    const ending = stopped();
    vi.advanceTimersByTime(CLOSE_LIMIT_MILLISECONDS);
    signal();
    signal();
    expect({ kills, isForced: ending.isForced }).toEqual({ kills: 1, isForced: true });
    expect(said.at(-1)).toBe('killing the coordinator, because of another signal');
    ending.ended();
  });

  it('is killed when it does not end within the time limit', () => {
    const ending = stopped();
    vi.advanceTimersByTime(STOP_LIMIT_MILLISECONDS);
    expect({ kills, isForced: ending.isForced }).toEqual({ kills: 1, isForced: true });
    expect(said.at(-1)).toMatch(/^killing the coordinator, which did not end within \d+ s$/);
    ending.ended();
  });
});
