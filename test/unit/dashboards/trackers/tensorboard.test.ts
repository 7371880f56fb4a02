import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EventFile } from '../../../../dashboards/trackers/event-file.ts';
import { TensorBoardTracker } from '../../../../dashboards/trackers/tensorboard.ts';
import { systemDisk, type Disk } from '../../../../shared/disk/disk.ts';
import { MAX_EVENT_QUEUE_BYTES } from '../../../../shared/limits/tracker.ts';
import {
  configuration,
  makeUp,
  splitConfiguration,
  type MadeUp,
} from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { readEvents, type ReadEvent } from '../../../fixtures/trackers/event-reader.ts';

interface Tracked {
  readonly directory: string;
  readonly told: readonly string[];
}

/** Writes a run that is tracked. */
async function track(run: MadeUp, folder?: string, date = () => Date.now()): Promise<Tracked> {
  const told: string[] = [];
  const tracker = new TensorBoardTracker({
    folder,
    configuration: run.configuration ?? configuration,
    tell: (level, message) => void told.push(`${level}: ${message}`),
    clock: () => performance.now(),
    date,
  });
  const directory = await makeUp({ ...run, viewer: tracker.viewer });
  await tracker.close();
  return { directory, told };
}

function eventsIn(folder: string): ReadEvent[][] {
  return readdirSync(folder)
    .toSorted()
    .map((name) => readEvents(readFileSync(join(folder, name))));
}

function seriesOf(events: readonly ReadEvent[], tag: string): [number, number | undefined][] {
  return events.flatMap(({ step, values }) =>
    values
      .filter((value) => value.tag === tag)
      .map(({ scalar }): [number, number | undefined] => [step, scalar]),
  );
}

describe('event files', () => {
  it('have every step and evaluation of a run', async () => {
    const { directory, told } = await track({
      runs: temporaryFolder(),
      configuration: splitConfiguration,
    });
    const [events = []] = eventsIn(join(directory, 'tensorboard'));
    expect(events[0]?.version).toBe('brain.Event:2');
    const losses = Array.from({ length: 12 }, (_, i) => [i + 1, Math.fround(2 / (i + 1))]);
    expect(seriesOf(events, 'loss/train')).toEqual(losses);
    expect(seriesOf(events, 'accuracy/train').map(([step]) => step)).toHaveLength(12);
    expect(seriesOf(events, 'training/learning_rate')[0]).toEqual([1, Math.fround(0.01)]);
    expect(seriesOf(events, 'training/gradient_norm')).toEqual([[1, 1]]);
    expect(seriesOf(events, 'loss/validation').map(([step]) => step)).toEqual([4, 8, 12]);
    expect(seriesOf(events, 'accuracy/test').map(([step]) => step)).toEqual([12]);
    expect(told).toEqual([]);
  });

  it('have the norm of each gradient if it is clipped', async () => {
    const clipped = { ...configuration, clipNorm: 1 };
    const { directory } = await track({ runs: temporaryFolder(), configuration: clipped });
    const [events = []] = eventsIn(join(directory, 'tensorboard'));
    expect(seriesOf(events, 'training/gradient_norm')).toHaveLength(12);
  });

  it('show the pictures of a finished run', async () => {
    const png = Buffer.alloc(33);
    png.writeUInt32BE(640, 16);
    png.writeUInt32BE(480, 20);
    const draw = () => Promise.resolve([{ name: 'confusion_matrix.png', bytes: png }]);
    const { directory } = await track({ runs: temporaryFolder(), draw });
    const [events = []] = eventsIn(join(directory, 'tensorboard'));
    const images = events.flatMap(({ values }) => values.filter(({ image }) => image));
    expect(images).toMatchObject([
      { tag: 'test/confusion_matrix', image: { width: 640, height: 480 } },
    ]);
  });

  it('drop steps that are computed again, even if the clock was set back', async () => {
    const [runs, folder] = [temporaryFolder(), temporaryFolder()];
    const killed = { runs, runId: 'r', until: 7, isKilled: true };
    const { directory } = await track(killed, folder, () => 1_764_560_000_000);
    await track({ runs, resume: directory }, folder, () => 1_564_560_000_000);
    const files = eventsIn(join(folder, 'r'));
    expect(files).toHaveLength(2);
    const starts = files.map((events) => events.find(({ isSessionStart }) => isSessionStart)?.step);
    expect(starts).toEqual([1, 8]);
    expect(seriesOf(files[1] ?? [], 'loss/train').map(([step]) => step)).toEqual([
      8, 9, 10, 11, 12,
    ]);
  });

  it('have the earlier steps of a run that is tracked when it is resumed', async () => {
    const runs = temporaryFolder();
    const directory = await makeUp({ runs, until: 7, isKilled: true });
    await track({ runs, resume: directory });
    const [events = []] = eventsIn(join(directory, 'tensorboard'));
    expect(events.find(({ isSessionStart }) => isSessionStart)?.step).toBe(1);
    const losses = Array.from({ length: 12 }, (_, i) => [i + 1, Math.fround(2 / (i + 1))]);
    expect(seriesOf(events, 'loss/train')).toEqual(losses);
    expect(seriesOf(events, 'loss/test').map(([step]) => step)).toEqual([5, 10, 12]);
  });

  it('have the steps of a coordinator that was not tracked', async () => {
    const runs = temporaryFolder();
    const { directory } = await track({ runs, until: 4, isKilled: true });
    await makeUp({ runs, resume: directory, until: 8, isKilled: true });
    await track({ runs, resume: directory });
    const files = eventsIn(join(directory, 'tensorboard'));
    const [, events = []] = files;
    expect(files).toHaveLength(2);
    expect(events.find(({ isSessionStart }) => isSessionStart)?.step).toBe(1);
    expect(seriesOf(events, 'loss/train').map(([step]) => step)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ]);
  });

  it('say how a run ended only when it cannot be resumed', async () => {
    const ends = async (run: Omit<MadeUp, 'runs'>) => {
      const { directory } = await track({ runs: temporaryFolder(), ...run });
      const [events = []] = eventsIn(join(directory, 'tensorboard'));
      return seriesOf(events, '_hparams_/session_end_info').length;
    };
    expect(await ends({})).toBe(1);
    expect(await ends({ until: 3 })).toBe(0);
  });
});

describe('a disk that does not take events', () => {
  it('is reported once, and the run continues', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'r'));
    writeFileSync(join(folder, 'r', 'file'), '');
    const { told } = await track({ runs: temporaryFolder(), runId: 'file' }, join(folder, 'r'));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^warn: no longer writing event files to .*file; training continues: /);
  });

  it('may be full for a while, which loses nothing', async () => {
    const { folder, disk, told, file } = onFullDisk();
    file.append(Buffer.from('a whole record, '));
    await file.flush();
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/the disk is full: the event file in .* waits for space/);
    file.append(Buffer.from('and another'));
    disk.isFull = false;
    await file.close();
    expect(readFileSync(join(folder, 'r', 'events'), 'utf8')).toBe('a whole record, and another');
    expect(told).toHaveLength(1);
  });

  it('cannot make the queue grow without limit', async () => {
    const { folder, disk, told, file } = onFullDisk();
    const record = Buffer.alloc(MAX_EVENT_QUEUE_BYTES / 4);
    file.append(record);
    await expect.poll(() => told).toHaveLength(1);
    for (let i = 0; i < 7; i++) file.append(record);
    disk.isFull = false;
    await file.close();
    expect(readFileSync(join(folder, 'r', 'events'))).toHaveLength(5 * record.length);
    expect(told[1]).toMatch(/lacks 3 records/);
  });
});

/** An event file on a full disk, and what is told about it. */
function onFullDisk() {
  const folder = temporaryFolder();
  const disk = new FullDisk();
  const told: string[] = [];
  const file = new EventFile(join(folder, 'r'), {
    nameAfter: () => 'events',
    tell: (_, message) => void told.push(message),
    disk: disk.disk,
  });
  return { folder, disk, told, file };
}

/** A disk that takes five bytes of each file while it is full. */
class FullDisk {
  isFull = true;
  readonly disk: Disk = {
    ...systemDisk,
    create: async (path) => {
      const file = await systemDisk.create(path);
      let written = 0;
      return {
        write: async (bytes) => {
          if (!this.isFull) return await file.write(bytes);
          if (written > 0) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
          written = await file.write(bytes.subarray(0, 5));
          return written;
        },
        writeNow: (bytes) => file.writeNow(bytes),
        sync: () => file.sync(),
        close: () => file.close(),
      };
    },
  };
}
