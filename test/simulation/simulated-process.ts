import type { Disk, DiskFile, DiskFolder } from '../../shared/disk/disk.ts';
import type { Processes } from '../../coordinator/run-directory/processes.ts';
import type { Clock } from '../../shared/clock.ts';
import { SUSPENSION_MILLISECONDS } from '../../shared/limits.ts';
import type { SimulatedDisk, SimulatedFile } from './simulated-disk.ts';
import type { Random } from '../fixtures/seeded-random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** The environment of the processes: all hosts share its time and its disk. */
export interface World {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly disk: SimulatedDisk;
  /** All processes that were ever started. */
  readonly processes: SimulatedProcess[];
  /** The number of the current boot, raised by each power cut. */
  boot: number;
}

/**
 * A process that can be killed at any moment, even between two disk operations, or stopped and
 * resumed. Its pending disk operations continue while it is stopped, and may or may not still
 * happen when it is killed.
 */
export class SimulatedProcess {
  readonly host: string;
  readonly pid: number;
  readonly #world: World;
  readonly #timers = new Set<() => void>();
  #isAlive = true;
  #isStopped = false;
  #stoppedAt = 0;
  /** How long the process has been suspended in total, in milliseconds. */
  #asleep = 0;
  #waiting: (() => void)[] = [];

  constructor(world: World, host: string) {
    this.#world = world;
    this.host = host;
    this.pid = world.processes.push(this);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  kill(): void {
    this.#isAlive = false;
    for (const cancel of this.#timers) cancel();
  }

  stop(): void {
    if (!this.#isStopped) this.#stoppedAt = this.#world.time.now();
    this.#isStopped = true;
  }

  wake(): void {
    if (this.#isStopped) this.#asleep = this.#asleepUntilNow();
    this.#isStopped = false;
    for (const task of this.#waiting.splice(0)) this.#world.time.soon(() => this.run(task));
  }

  /** The time as shared/clock.ts measures it: a short stop goes unnoticed. */
  now(): number {
    return this.#world.time.now() - this.#asleepUntilNow();
  }

  #asleepUntilNow(): number {
    const stopped = this.#isStopped ? this.#world.time.now() - this.#stoppedAt : 0;
    return this.#asleep + (stopped < SUSPENSION_MILLISECONDS ? 0 : stopped);
  }

  /** Runs the task now, or once the process is resumed; never if it has ended. */
  run(task: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isStopped) this.#waiting.push(task);
    else task();
  }

  clock(): Clock {
    const { time } = this.#world;
    return {
      now: () => this.now(),
      date: time.date,
      every: (milliseconds, task) => {
        let isDue = false;
        const cancel = time.every(milliseconds, () => {
          if (isDue) return;
          isDue = true;
          this.run(() => {
            isDue = false;
            if (this.#timers.has(cancel)) task();
          });
        });
        this.#timers.add(cancel);
        return () => {
          this.#timers.delete(cancel);
          cancel();
        };
      },
      after: (milliseconds, task) => {
        let isOn = true;
        time.after(milliseconds, () => this.run(() => isOn && task()));
        return () => (isOn = false);
      },
      soon: (task) => time.soon(() => this.run(task)),
    };
  }

  processes(): Processes {
    const { processes, boot } = this.#world;
    const started = (pid: number): string => `${boot} ${pid}`;
    return {
      self: () => ({
        host: this.host,
        boot: String(boot),
        namespace: 'all',
        pid: this.pid,
        started: started(this.pid),
      }),
      isRunning: (pid, start) => {
        const process = processes[pid - 1];
        return process?.isAlive === true && process.host === this.host && started(pid) === start;
      },
      mayRunUnseen: () => true,
    };
  }

  /** The disk as the process sees it. `speed` divides the time that each operation takes. */
  disk(onAppended: (path: string, bytes: Uint8Array) => void, speed = 1): Disk {
    const { disk, random } = this.#world;
    const file = (path: string, opened: SimulatedFile): DiskFile => {
      const write = (bytes: Uint8Array): number => {
        const written = disk.write(opened, bytes);
        onAppended(path, bytes.subarray(0, written));
        return written;
      };
      return {
        write: (bytes) => quick(() => write(bytes)),
        writeNow: write,
        sync: () => slow(() => disk.syncFile(opened)),
        close: () => quick(() => undefined),
      };
    };
    const folder = (opened: ReturnType<SimulatedDisk['openFolder']>): DiskFolder => ({
      list: () => quick(() => opened.list()),
      remove: (name) => quick(() => opened.remove(name)),
      close: () => quick(() => undefined),
    });
    const quick = <T>(does: () => T): Promise<T> => this.#ask(random.between(0, 1) / speed, does);
    const slow = <T>(does: () => T): Promise<T> =>
      this.#ask(random.between(0, random.chance(0.05) ? 200 : 10) / speed, does);
    return {
      read: (path) => quick(() => disk.read(path)),
      readAt: (path, at, length) => quick(() => disk.read(path).subarray(at, at + length)),
      size: (path) => quick(() => disk.read(path).length),
      cut: (path, length) => slow(() => disk.cut(path, length)),
      isFolder: (path) => quick(() => disk.isFolder(path)),
      inode: (path) => quick(() => disk.inode(path)),
      list: (path) => quick(() => disk.list(path)),
      openFolder: (path) => quick(() => folder(disk.openFolder(path))),
      makeDirectory: (path) => quick(() => disk.makeDirectory(path)),
      removeDirectory: (path) => quick(() => disk.removeDirectory(path)),
      create: (path) => quick(() => file(path, disk.create(path))),
      append: (path) => quick(() => file(path, disk.append(path))),
      rename: (from, to) => quick(() => disk.rename(from, to)),
      remove: (path) => quick(() => disk.remove(path)),
      syncDirectory: (path) =>
        slow(() => {
          disk.syncDirectory(path);
          return true;
        }),
    };
  }

  /**
   * Performs the operation at some moment within `milliseconds`, if the process is still running.
   * The process gets the result at the end.
   */
  #ask<T>(milliseconds: number, does: () => T): Promise<T> {
    const { time, random } = this.#world;
    return new Promise((resolve, reject) => {
      const before = random.between(0, milliseconds);
      time.after(before, () => {
        if (!this.#isAlive) return;
        const learn = this.#outcome(does, resolve, reject);
        time.after(milliseconds - before, () => this.run(learn));
      });
    });
  }

  #outcome<T>(
    does: () => T,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): () => void {
    try {
      const value = does();
      return () => resolve(value);
    } catch (error) {
      return () => reject(error);
    }
  }
}
