import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppendFile } from '../../../../coordinator/run-directory/append-file.ts';
import { systemDisk, type DiskFile } from '../../../../shared/disk/disk.ts';
import { systemClock } from '../../../../shared/clock.ts';
import type { ClusterError } from '../../../../shared/errors.ts';
import { VirtualTime } from '../../../simulation/virtual-time.ts';

let folder: string;
let errors: ClusterError[];
let notices: { isFull: boolean; message: string }[];
beforeEach(async () => {
  errors = [];
  notices = [];
  folder = await mkdtemp(join(tmpdir(), 'mnist-dist-append-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const options = {
  disk: systemDisk,
  clock: systemClock,
  maxBufferBytes: 1_000_000,
  onError: (error: ClusterError) => void errors.push(error),
  onSpace: (isFull: boolean, message: string) => void notices.push({ isFull, message }),
};
const full = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC' });
const broken = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });

/**
 * A file that accepts as many bytes of each write as the script says, or throws. After the script,
 * it accepts all bytes.
 */
class ScriptedFile implements DiskFile {
  text = '';
  readonly script: (number | Error)[];
  syncError: Error | undefined;

  constructor(...script: (number | Error)[]) {
    this.script = script;
  }

  writeNow(bytes: Uint8Array): number {
    const next = this.script.shift() ?? bytes.length;
    if (next instanceof Error) throw next;
    this.text += Buffer.from(bytes.subarray(0, next)).toString();
    return Math.min(next, bytes.length);
  }

  async write(bytes: Uint8Array): Promise<number> {
    return this.writeNow(bytes);
  }

  async sync(): Promise<void> {
    if (this.syncError !== undefined) throw this.syncError;
  }

  async close(): Promise<void> {}
}

function openScripted(file: DiskFile, clock = new VirtualTime()): Promise<AppendFile> {
  return AppendFile.open('scripted', {
    ...options,
    clock,
    disk: { ...systemDisk, append: async () => file },
  });
}

/** Lets `milliseconds` pass and pending work settle. */
async function pass(time: VirtualTime, milliseconds: number): Promise<void> {
  let isOver = false;
  time.after(milliseconds, () => (isOver = true));
  while (!isOver && time.step()) await new Promise(setImmediate);
}
const linesOf = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => `${String(i).padEnd(length, '.')}\n`);

describe('AppendFile', () => {
  it('keeps the order of many lines, no matter when they are flushed', async () => {
    const path = join(folder, 'a');
    const file = await AppendFile.open(path, options);
    const lines = linesOf(5000, 100);
    for (const [i, line] of lines.entries()) {
      file.append(line);
      if (i % 1500 === 700) await file.sync();
      if (i % 777 === 0) await new Promise(setImmediate);
    }
    await file.close();
    await file.close();
    expect(await readFile(path, 'utf8')).toBe(lines.join(''));
    expect(errors).toEqual([]);
  });

  it('has written all appended lines by the time sync resolves', async () => {
    const path = join(folder, 'a');
    const file = await AppendFile.open(path, options);
    file.append('one\n');
    await file.sync();
    expect(await readFile(path, 'utf8')).toBe('one\n');
    await file.close();
  });

  it('writes even if no caller waits for it', async () => {
    const path = join(folder, 'a');
    const file = await AppendFile.open(path, options);
    file.append('one\n');
    await expect.poll(() => readFile(path, 'utf8'), { timeout: 10_000 }).toBe('one\n');
    await file.close();
  });

  it('writes a line to the file before appendNow returns', async () => {
    const file = new ScriptedFile(2);
    const appended = await openScripted(file);
    appended.appendNow('one\n');
    expect(file.text).toBe('one\n');
    await appended.close();
  });

  it('reports a write error once, and again to each caller of sync or close', async () => {
    const file = await openScripted(new ScriptedFile(3, broken));
    file.append('one\n');
    const disk = {
      code: 'DISK',
      message: expect.stringContaining('scripted could not be written: EIO'),
    };
    await expect(file.sync()).rejects.toMatchObject(disk);
    file.append('more\n');
    file.appendNow('more\n');
    await expect(file.close()).rejects.toMatchObject(disk);
    expect(errors).toEqual([expect.objectContaining(disk)]);
  });

  it('stays failed after a failed sync, even if the disk was only full', async () => {
    const file = new ScriptedFile();
    const appended = await openScripted(file);
    file.syncError = full;
    appended.append('one\n');
    await expect(appended.sync()).rejects.toMatchObject({ code: 'DISK' });
    file.syncError = undefined;
    await expect(appended.sync()).rejects.toMatchObject({ code: 'DISK' });
    expect(errors).toHaveLength(1);
  });

  it.skipIf(!existsSync('/dev/full'))('names the file on a full disk', async () => {
    const file = await AppendFile.open('/dev/full', options);
    file.append('x\n');
    await expect(file.close()).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining('/dev/full'),
    });
    expect(notices).toEqual([{ isFull: true, message: expect.stringContaining('ENOSPC') }]);
  });

  it.each(['append', 'appendNow'] as const)(
    'waits for space on a full disk and resumes in the middle of a line: %s',
    async (append) => {
      const time = new VirtualTime();
      const file = new ScriptedFile(5, full, full, 2, full);
      const appended = await openScripted(file, time);
      const lines = linesOf(20, 10);
      for (const line of lines.slice(0, 10)) appended[append](line);
      await pass(time, 1_500);
      expect(file.text).toBe(lines.join('').slice(0, 5));
      await expect(appended.sync()).rejects.toMatchObject({ code: 'DISK' });
      for (const line of lines.slice(10)) appended[append](line);
      await pass(time, 4_000);
      expect(file.text).toBe(lines.join('').slice(0, 7));
      await pass(time, 4_000);
      expect(file.text).toBe(lines.join(''));
      await appended.close();
      expect(errors).toEqual([]);
      expect(notices).toEqual([
        {
          isFull: true,
          message: expect.stringMatching(/the disk is full: scripted is waiting .* every 3 s/),
        },
        { isFull: false, message: 'the disk has space again: writing to scripted resumes' },
      ]);
    },
  );

  it.each(['append', 'appendNow'] as const)(
    'fails if too many bytes are waiting: %s',
    async (append) => {
      const time = new VirtualTime();
      const always = { shift: () => full };
      const appended = await openScripted(
        Object.assign(new ScriptedFile(), { script: always }),
        time,
      );
      appended[append]('x'.repeat(100_000));
      await pass(time, 1_500);
      for (let i = 0; i < 9; i++) appended[append]('x'.repeat(100_000));
      expect(errors).toEqual([]);
      appended[append]('x');
      expect(errors).toEqual([
        expect.objectContaining({
          code: 'DISK',
          message: expect.stringMatching(/more than 1000000 bytes .*ENOSPC/),
        }),
      ]);
      await expect(appended.close()).rejects.toMatchObject({ code: 'DISK' });
    },
  );

  it('names a file that it cannot open', async () => {
    await expect(AppendFile.open(join(folder, 'none', 'a'), options)).rejects.toMatchObject({
      code: 'DISK',
    });
  });
});
