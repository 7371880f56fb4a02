import { readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadStream, WriteStream } from 'node:tty';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  MAX_JOIN_CHARACTERS,
  PASTE_QUIET_MILLISECONDS,
  STDIN_RETRY_MILLISECONDS,
} from '../../shared/limits.ts';
import { hasBegun, isWhole } from './join.ts';

const STDIN = 0;

/**
 * Reads the join string for `--join -` from a terminal or a pipe. Rejects with INTERRUPTED on
 * Ctrl-C at the prompt, with HUNG_UP if the terminal is closed, and with USAGE if stdin cannot be
 * read.
 */
export function readJoin(): Promise<string> {
  return process.stdin.isTTY ? readPaste(process.stdin, process.stderr) : readPipe();
}

/**
 * Reads up to the end of the join string, or of the first line that is not part of one. It reads
 * byte by byte, since the rest of the pipe belongs to another program.
 */
async function readPipe(): Promise<string> {
  const byte = Buffer.alloc(1);
  const bytes: number[] = [];
  while (bytes.length < MAX_JOIN_CHARACTERS && (await readByte(byte))) {
    bytes.push(byte[0] ?? 0);
    if (byte[0] !== 0x0a) continue;
    const text = Buffer.from(bytes).toString();
    if (text.trim() !== '' && (isWhole(text) || !hasBegun(text))) break;
  }
  return Buffer.from(bytes).toString();
}

async function readByte(byte: Buffer): Promise<boolean> {
  for (;;) {
    try {
      return readSync(STDIN, byte) === 1;
    } catch (error) {
      // Another process has made this pipe non-blocking. A Node stream cannot help, since it would
      // read ahead.
      if (systemCode(error) !== 'EAGAIN') throw notReadable(error);
      await sleep(STDIN_RETRY_MILLISECONDS);
    }
  }
}

function notReadable(error: unknown): ClusterError {
  return new ClusterError(
    'USAGE',
    `stdin cannot be read (--join -): ${systemCode(error) ?? String(error)}`,
    {
      fix: 'paste the join string, send it through a pipe, or set MNIST_DIST_JOIN',
      cause: error,
    },
  );
}

/**
 * Prompts on a terminal, without echo. A paste may have several lines: all input until the terminal
 * is quiet belongs to the paste, so that nothing is left for the shell.
 */
function readPaste(terminal: ReadStream, output: Pick<WriteStream, 'write'>): Promise<string> {
  let text = '';
  let quiet: NodeJS.Timeout | undefined;
  // Set before the prompt is shown, so that an immediate paste is not echoed.
  setRawMode(terminal, true);
  output.write(
    'Paste the join string that the coordinator printed, then press Enter (it is not shown): ',
  );
  terminal.setEncoding('utf8');
  return new Promise((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(quiet);
      terminal.off('data', take).off('end', hangUp).off('error', fail);
      setRawMode(terminal, false);
      terminal.pause();
      output.write('\n');
      settle();
    };
    const finish = (): void => end(() => resolve(text));
    // In raw mode, Ctrl-D is a character, so only a closed terminal ends.
    const hangUp = (): void =>
      end(() => reject(new ClusterError('HUNG_UP', 'the terminal was closed at the prompt')));
    const fail = (error: unknown): void => {
      if (systemCode(error) === 'EIO') return hangUp();
      end(() => reject(notReadable(error)));
    };
    // Called when a line has ended and no input has followed.
    const check = (): void => {
      if (text.trim() === '') text = '';
      else if (isWhole(text) || !hasBegun(text) || /[\r\n]\s*[\r\n]$/.test(text)) finish();
      else
        output.write('\nThe join string is incomplete. Paste the rest, or press Enter to stop: ');
    };
    const take = (data: string): void => {
      if (data.includes('\u0003'))
        return end(() => reject(new ClusterError('INTERRUPTED', 'no join string was given')));
      if (data.includes('\u0004') && text.trim() === '') return finish();
      if (text.length < MAX_JOIN_CHARACTERS) text = edited(text + data);
      clearTimeout(quiet);
      // Input that is too long is still read to its end.
      if (/[\r\n]\s*$/.test(data)) quiet = setTimeout(check, PASTE_QUIET_MILLISECONDS);
    };
    terminal.on('data', take).on('end', hangUp).on('error', fail).resume();
  });
}

/** Does nothing on a closed terminal, which the next read reports. */
function setRawMode(terminal: ReadStream, isRaw: boolean): void {
  try {
    terminal.setRawMode(isRaw);
  } catch (error) {
    if (systemCode(error) !== 'EIO') throw error;
  }
}

/** Applies backspace, and Ctrl-U, which deletes the line. */
function edited(text: string): string {
  return text.slice(text.lastIndexOf('\u0015') + 1).replaceAll(/[^][\b\u007f]/g, '');
}
