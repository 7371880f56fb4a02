import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { readJoin } from '../../../../cli/secrets/read-join.ts';

/** A terminal that, once it is closed, reports errors as Node's does. */
class FakeTerminal extends PassThrough {
  readonly isTTY = true;
  isClosed = false;
  isRaw = false;

  setRawMode(isRaw: boolean): this {
    if (this.isClosed) this.emit('error', systemError('EIO'));
    else this.isRaw = isRaw;
    return this;
  }
}

function systemError(code: string): Error {
  return Object.assign(new Error(`setRawMode ${code}`), { code });
}

describe('the join prompt', () => {
  let terminal: FakeTerminal;

  beforeEach(() => {
    const { stdin } = process;
    terminal = new FakeTerminal();
    Object.defineProperty(process, 'stdin', { value: terminal, configurable: true });
    const prompt = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    return () => {
      prompt.mockRestore();
      Object.defineProperty(process, 'stdin', { value: stdin, configurable: true });
    };
  });

  it('ends with HUNG_UP when the terminal is closed', async () => {
    const join = readJoin();
    expect(terminal.isRaw).toBe(true);
    terminal.isClosed = true;
    terminal.end();
    await expect(join).rejects.toMatchObject({ code: 'HUNG_UP' });
  });

  it('ends with HUNG_UP if the terminal was closed before', async () => {
    terminal.isClosed = true;
    const join = readJoin();
    terminal.end();
    await expect(join).rejects.toMatchObject({ code: 'HUNG_UP' });
  });

  it.each([
    ['EIO', 'HUNG_UP'],
    ['EBADF', 'USAGE'],
  ])('after %s, ends with %s', async (code, expected) => {
    const join = readJoin();
    terminal.isClosed = true;
    terminal.destroy(systemError(code));
    await expect(join).rejects.toMatchObject({ code: expected });
  });

  it('still yields an empty text on Ctrl-D, and INTERRUPTED on Ctrl-C', async () => {
    const empty = readJoin();
    terminal.write('\u0004');
    expect(await empty).toBe('');
    expect(terminal.isRaw).toBe(false);
    const interrupted = readJoin();
    terminal.write('\u0003');
    await expect(interrupted).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });
});
