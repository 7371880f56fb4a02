import { onTestFinished, vi } from 'vitest';

/** What is printed until the test ends, instead of printing it. */
export function captured(): { out: string; error: string } {
  const printed = { out: '', error: '' };
  for (const [stream, key] of [
    [process.stdout, 'out'],
    [process.stderr, 'error'],
  ] as const) {
    const spy = vi.spyOn(stream, 'write').mockImplementation((text) => {
      printed[key] += String(text);
      return true;
    });
    onTestFinished(() => spy.mockRestore());
  }
  return printed;
}
