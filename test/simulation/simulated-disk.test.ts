import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemDisk, type Disk, type DiskFile } from '../../shared/disk/disk.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { Random } from '../fixtures/seeded-random.ts';
import { SimulatedProcess, type World } from './simulated-process.ts';
import { VirtualTime } from './virtual-time.ts';

const files = ['a', 'b', 'd/a', 'd/b'];
const directories = ['', 'd', 'e'];
const file = fc.constantFrom(...files);
const directory = fc.constantFrom(...directories);

type Operation = (disk: Disk, root: string) => Promise<unknown>;
const operation: fc.Arbitrary<[string, Operation]> = fc.oneof(
  directory.map((name): [string, Operation] => [
    `make ${name}`,
    (disk, root) => disk.makeDirectory(join(root, name)),
  ]),
  directory
    .filter((name) => name !== '')
    .map((name): [string, Operation] => [
      `remove ${name}/`,
      (disk, root) => disk.removeDirectory(join(root, name)),
    ]),
  file.map((name): [string, Operation] => [
    `create ${name}`,
    async (disk, root) => write(await disk.create(join(root, name)), `new ${name}`),
  ]),
  file.map((name): [string, Operation] => [
    `append ${name}`,
    async (disk, root) => write(await disk.append(join(root, name)), ` and more`),
  ]),
  fc
    .tuple(file, file)
    .map(([from, to]): [string, Operation] => [
      `rename ${from} ${to}`,
      (disk, root) => disk.rename(join(root, from), join(root, to)),
    ]),
  fc
    .tuple(directory, directory)
    .filter(([from]) => from !== '')
    .map(([from, to]): [string, Operation] => [
      `rename ${from}/ ${to}/`,
      (disk, root) => disk.rename(join(root, from), join(root, to)),
    ]),
  fc
    .tuple(fc.constantFrom('d', 'e', 'a'), fc.constantFrom('a', 'b'))
    .map(([folder, name]): [string, Operation] => [
      `open ${folder} and remove ${name}`,
      async (disk, root) => {
        const opened = await disk.openFolder(join(root, folder));
        await opened.remove(name);
        const left = await opened.list();
        await opened.close();
        return left.toSorted();
      },
    ]),
  file.map((name): [string, Operation] => [
    `remove ${name}`,
    (disk, root) => disk.remove(join(root, name)),
  ]),
  file.map((name): [string, Operation] => [
    `read ${name}`,
    async (disk, root) => Buffer.from(await disk.read(join(root, name))).toString(),
  ]),
  directory.map((name): [string, Operation] => [
    `list ${name}`,
    async (disk, root) => (await disk.list(join(root, name))).toSorted(),
  ]),
  directory.map((name): [string, Operation] => [
    `sync ${name}`,
    (disk, root) => disk.syncDirectory(join(root, name)),
  ]),
);

/** Writes the text in as many writes as the disk needs. */
async function write(opened: DiskFile, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) {
    const written = await opened.write(bytes.subarray(at));
    expect(written).toBeGreaterThan(0);
    at += written;
  }
  await opened.sync();
  await opened.close();
}

async function outcomeOf(does: () => Promise<unknown>): Promise<unknown> {
  try {
    return (await does()) ?? 'done';
  } catch (error) {
    return systemCode(error) ?? error;
  }
}

function world(seed: number): { world: World; process: SimulatedProcess; disk: Disk } {
  const random = new Random(seed);
  const time = new VirtualTime();
  const made: World = { time, random, disk: new SimulatedDisk(random), processes: [], boot: 1 };
  const process = new SimulatedProcess(made, 'host');
  return { world: made, process, disk: process.disk(() => undefined) };
}

/** Advances virtual time until the promise settles. */
async function finish<T>(time: VirtualTime, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const end = promise.finally(() => (isDone = true));
  // `end` is awaited below.
  end.catch(() => undefined);
  do await new Promise(setImmediate);
  while (!isDone && time.step());
  return await end;
}

describe('the simulated disk', () => {
  it('behaves like the real disk', async () => {
    const folder = temporaryFolder();
    let folders = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 30 }),
        fc.nat(),
        async (operations, seed) => {
          const root = join(folder, String(folders++));
          await systemDisk.makeDirectory(root);
          const { world: simulated, disk } = world(seed);
          for (const [name, does] of operations) {
            const real = await outcomeOf(() => does(systemDisk, root));
            expect(
              await finish(
                simulated.time,
                outcomeOf(() => does(disk, '/')),
              ),
              name,
            ).toEqual(real);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('keeps synced data and a random part of all other data after a power cut', () => {
    const left = { new: 0, old: 0, lengths: new Set<number>() };
    for (let seed = 0; seed < 100; seed++) {
      const disk = new SimulatedDisk(new Random(seed));
      const write = (path: string, text: string, isSynced: boolean): void => {
        const opened = disk.create(path);
        for (let rest = Buffer.from(text); rest.length > 0;)
          rest = rest.subarray(disk.write(opened, rest));
        if (isSynced) disk.syncFile(opened);
      };
      write('/whole', 'old', true);
      write('/torn', '0123456789', false);
      disk.syncDirectory('/');
      write('/draft', 'new', true);
      disk.rename('/draft', '/whole');
      expect(Buffer.from(disk.durable('/whole') ?? []).toString()).toBe('old');
      disk.powerCut();
      const whole = Buffer.from(disk.read('/whole')).toString();
      expect(['old', 'new']).toContain(whole);
      left[whole === 'old' ? 'old' : 'new'] += 1;
      left.lengths.add(disk.read('/torn').length);
      expect('0123456789').toContain(Buffer.from(disk.read('/torn')).toString());
    }
    expect(left.old).toBeGreaterThan(0);
    expect(left.new).toBeGreaterThan(0);
    expect(left.lengths.size).toBeGreaterThan(5);
  });

  it('accepts as many bytes as there is space for', () => {
    const disk = new SimulatedDisk(new Random(1));
    const opened = disk.create('/a');
    disk.fill(5);
    let written = 0;
    const writeOn = (): void => {
      for (;;) written += disk.write(opened, Buffer.from('abc'));
    };
    expect(writeOn).toThrow(expect.objectContaining({ code: 'ENOSPC' }));
    expect({ written, length: disk.read('/a').length }).toEqual({ written: 5, length: 5 });
    disk.free();
    expect(disk.write(opened, Buffer.from('d'))).toBe(1);
  });
});

describe('a simulated process', () => {
  it('may die before or after a disk operation, and never gets its result', async () => {
    let made = 0;
    for (let seed = 0; seed < 50; seed++) {
      const { world: simulated, process, disk } = world(seed);
      let isTold = false;
      void disk.makeDirectory('/d').then(() => (isTold = true));
      simulated.time.after(0.3, () => process.kill());
      while (simulated.time.step()) await new Promise(setImmediate);
      if (!isTold && simulated.disk.has('/d')) made += 1;
    }
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(50);
  });

  it('does nothing while stopped, and runs everything in order once resumed', async () => {
    const { world: simulated, process, disk } = world(1);
    const done: string[] = [];
    void disk.makeDirectory('/d').then(() => done.push('made'));
    process.clock().after(50, () => done.push('timer'));
    process.stop();
    simulated.time.after(100, () => {
      expect(done).toEqual([]);
      expect(simulated.disk.has('/d')).toBe(true);
      process.wake();
    });
    while (simulated.time.step()) await new Promise(setImmediate);
    expect(done).toEqual(['made', 'timer']);
  });
});
