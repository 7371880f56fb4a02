import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { chooseModel } from '../../../../cli/runs/choose-model.ts';
import { chooseRun } from '../../../../cli/runs/choose-run.ts';
import { listRuns } from '../../../../cli/runs/run-overview.ts';
import {
  linesIfThere,
  readRunContents,
} from '../../../../coordinator/run-directory/run-contents.ts';
import { newestUnfinished } from '../../../../coordinator/run-directory/read-run.ts';
import { RecordedRun } from '../../../../dashboards/feed/recorded-run.ts';
import { readInventory } from '../../../../artifacts/store/inventory.ts';
import { systemRetryPolicy } from '../../../../artifacts/store/retry.ts';
import { entryPieces } from '../../../../shared/disk/regular-file.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { configuration, makeUp } from '../../../fixtures/recorded-run.ts';
import { planReplay } from '../../../../coordinator/replay/replay-plan.ts';

let runs: string;
let outside: string;
let run: string;
beforeEach(async () => {
  runs = temporaryFolder();
  outside = temporaryFolder();
  run = await makeUp({ runs });
  mkdirSync(join(outside, 'folder'));
  for (const name of ['file', 'folder/step-0000000001.safetensors', 'folder/misclassified.jsonl'])
    writeFileSync(join(outside, name), 'precious');
});

/** The files in the other folder, with their bytes and times. */
function outsideNow(): unknown {
  return readdirSync(outside, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const path = join(outside, name);
      const { mtimeMs, size } = statSync(path);
      return [name, mtimeMs, size, statSync(path).isFile() ? readFileSync(path, 'utf8') : ''];
    });
}

const intruders: Readonly<Record<string, (path: string) => void>> = {
  'a link to a device': (path) => symlinkSync('/dev/zero', path),
  'a link to a file': (path) => symlinkSync(join(outside, 'file'), path),
  'a link to a folder': (path) => symlinkSync(join(outside, 'folder'), path),
  'a pipe': (path) => execFileSync('mkfifo', [path]),
  'a folder': (path) => mkdirSync(path),
};

const retryPolicy = systemRetryPolicy(new AbortController().signal, () => undefined);
const extended = { ...configuration, steps: 20 };

/** Every reader of a run, and the files that it reads. */
const readers: Readonly<Record<string, [read: () => Promise<unknown>, names: readonly string[]]>> =
  {
    verify: [
      async () => await planReplay(await readRunContents(run), undefined),
      [
        'run.json',
        'metrics.jsonl',
        'model.safetensors',
        'lock.json',
        '.drafts-1/owner.json',
        'checkpoints/step-0000000012.safetensors',
      ],
    ],
    show: [
      async () => await RecordedRun.open(await readRunContents(run), undefined),
      ['events.jsonl', 'artifacts/misclassified.jsonl'],
    ],
    'eval and predict': [
      async () => await chooseModel(run, runs, retryPolicy),
      ['model.safetensors', 'run.json'],
    ],
    '--resume': [
      async () => await makeUp({ runs, resume: run, configuration: extended }),
      [
        'run.json',
        'metrics.jsonl',
        'events.jsonl',
        'model.safetensors',
        'artifacts/misclassified.jsonl',
        'artifacts/manifest.json',
        'lock.json',
        '.drafts-1/owner.json',
      ],
    ],
    push: [
      async () => await readInventory(run),
      ['run.json', 'metrics.jsonl', 'events.jsonl', 'model.safetensors'],
    ],
    runs: [
      async () => {
        const { unlisted } = await listRuns(runs, 0);
        if (unlisted.length > 0) throw new Error(unlisted[0]?.reason);
      },
      ['run.json', 'events.jsonl', 'lock.json'],
    ],
  };

const cases = Object.entries(readers).flatMap(([reader, [read, names]]) =>
  names.flatMap((name) =>
    Object.entries(intruders).map(([kind, plant]) => ({ reader, read, name, kind, plant })),
  ),
);

describe('a file that another user has put into a run directory', () => {
  it.each(cases)(
    'is not followed but reported: $reader, $kind called $name',
    async ({ read, name, plant }) => {
      rmSync(join(run, name), { force: true });
      plant(join(run, name));
      const before = outsideNow();
      await expect(read()).rejects.toThrow(
        new RegExp(`${name.split('/').at(-1)} cannot be (read|used): it is a`),
      );
      expect(outsideNow()).toEqual(before);
    },
  );

  it.each(['checkpoints', 'artifacts'])(
    'is neither filled nor emptied by --resume if it is a link called %s',
    async (name) => {
      rmSync(join(run, name), { recursive: true });
      symlinkSync(join(outside, 'folder'), join(run, name));
      const before = outsideNow();
      const resumed = makeUp({ runs, resume: run, configuration: extended });
      await expect(resumed).rejects.toThrow(`${name} cannot be used: it is a link, not a folder`);
      expect(outsideNow()).toEqual(before);
    },
  );

  it('is not chosen as the newest run', async () => {
    rmSync(join(run, 'run.json'));
    symlinkSync('/dev/zero', join(run, 'run.json'));
    expect(() => chooseRun(undefined, runs)).toThrow('there is no run');
    await expect(newestUnfinished(runs)).rejects.toThrow('no unfinished run in');
  });
});

describe('a sparse file of a tebibyte in a run directory', () => {
  /** Files that are replaced or hashed without being searched for a line. */
  const isUnread = (reader: string, name: string): boolean =>
    reader === 'push' || (reader === '--resume' && /^model|^artifacts/.test(name));
  const sparse = Object.entries(readers).flatMap(([reader, [read, names]]) =>
    names.flatMap((name) => (isUnread(reader, name) ? [] : [{ reader, read, name }])),
  );

  it('is not searched for a line by readers of lines, which let signals through', async () => {
    const path = join(run, 'events.jsonl');
    truncateSync(path, 2 ** 40);
    const lines = Readable.from(linesIfThere(path));
    await expect(lines.toArray()).rejects.toMatchObject({ code: 'DATA' });
    let isInterrupted = false;
    setImmediate(() => (isInterrupted = true));
    for await (const _ of entryPieces(path)) if (isInterrupted) break;
    expect(isInterrupted).toBe(true);
  });

  it.each(sparse)('is not searched for its end: $reader, $name', async ({ read, name }) => {
    writeFileSync(join(run, name), '', { flag: 'a' });
    truncateSync(join(run, name), 2 ** 40);
    await expect(read()).rejects.toThrow(/is damaged|has at least 1099511627776 bytes/);
  });
});

describe('a directory that a new run takes over because no run has begun in it', () => {
  it.each(['metrics.jsonl', 'events.jsonl'])(
    'gets a %s of its own in place of a link',
    async (name) => {
      const before = outsideNow();
      mkdirSync(join(runs, 'new'));
      symlinkSync(join(outside, 'file'), join(runs, 'new', name));
      const made = await makeUp({ runs, runId: 'new' });
      expect(readFileSync(join(made, name), 'utf8').split('\n').length).toBeGreaterThan(2);
      expect(outsideNow()).toEqual(before);
    },
  );

  it('may not contain a link called artifacts', async () => {
    const before = outsideNow();
    mkdirSync(join(runs, 'new'));
    symlinkSync(join(outside, 'folder'), join(runs, 'new', 'artifacts'));
    await expect(makeUp({ runs, runId: 'new' })).rejects.toThrow(
      'artifacts cannot be used: it is a link',
    );
    expect(outsideNow()).toEqual(before);
  });
});

it('the run directory itself may be a link', async () => {
  symlinkSync(run, join(outside, 'link'));
  await readRunContents(join(outside, 'link'));
  await makeUp({ runs, resume: join(outside, 'link'), configuration: extended });
});
