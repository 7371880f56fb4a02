import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { removeArtifacts } from '../../../../coordinator/run-directory/result-files.ts';
import { silentViewer } from '../../../../coordinator/viewer.ts';
import { systemDisk } from '../../../../shared/disk/disk.ts';
import { readMetrics } from '../../../../shared/files/metrics.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { configuration, makeUp } from '../../../fixtures/recorded-run.ts';

let runs = '';
beforeEach(() => {
  runs = temporaryFolder();
});
const bytes = (text: string) => Buffer.from(text);
const read = (directory: string, name: string) => readFileSync(join(directory, name), 'utf8');
const listing = (name: string) =>
  JSON.stringify({ format: 1, files: [{ name, size: 6, sha256: '', type: 'image/svg+xml' }] });
const drawn = [
  { name: 'loss.svg', bytes: bytes('<svg/>') },
  { name: 'manifest.json', bytes: bytes(listing('loss.svg')) },
];

describe("a run's report and pictures", () => {
  it('are made from the files on disk before run.json says that the run is finished', async () => {
    const directory = await makeUp({
      runs,
      draw: async ({ directory: path, record, wrong }) => {
        expect(JSON.parse(read(path, 'run.json')).state).toBe('running');
        expect(record.state).toBe('finished');
        expect(existsSync(join(path, 'model.safetensors'))).toBe(true);
        expect(readMetrics(read(path, 'metrics.jsonl')).lines.at(-1)).toMatchObject({
          kind: 'evaluation',
          step: 12,
        });
        expect(read(path, 'artifacts/misclassified.jsonl').trimEnd().split('\n')).toHaveLength(
          wrong.length,
        );
        return drawn;
      },
    });
    expect(JSON.parse(read(directory, 'run.json')).state).toBe('finished');
    expect(read(directory, 'artifacts/loss.svg')).toBe('<svg/>');
  });

  it('are not made for an interrupted run', async () => {
    const directory = await makeUp({
      runs,
      until: 7,
      draw: () => Promise.reject(new Error('the report should not be drawn')),
    });
    expect(readdirSync(join(directory, 'artifacts'))).toEqual([]);
  });

  it('get a new folder when an interrupted run is resumed without its old one', async () => {
    const resume = await makeUp({ runs, until: 7 });
    rmSync(join(resume, 'artifacts'), { recursive: true });
    await makeUp({ runs, resume });
    expect(JSON.parse(read(resume, 'run.json')).state).toBe('finished');
    expect(readdirSync(join(resume, 'artifacts'))).toEqual(['misclassified.jsonl']);
  });

  it('may fail, in which case the run finishes with a warning', async () => {
    const said: string[] = [];
    const directory = await makeUp({
      runs,
      draw: () => Promise.reject(new Error('no ink')),
      viewer: { ...silentViewer, log: (level, message) => said.push(`${level}: ${message}`) },
    });
    expect(JSON.parse(read(directory, 'run.json')).state).toBe('finished');
    expect(said).toEqual(['warn: the report and its pictures could not be created: no ink']);
    expect(read(directory, 'events.jsonl')).toContain('"event":"pictures_failed"');
    expect(readdirSync(join(directory, 'artifacts'))).toEqual(['misclassified.jsonl']);
  });

  it('are removed when the run is resumed, but other files stay', async () => {
    const directory = await makeUp({ runs, draw: () => Promise.resolve(drawn) });
    writeFileSync(join(directory, 'artifacts', 'notes.txt'), 'mine');
    const longer = { ...configuration, steps: 20 };
    await makeUp({ runs, resume: directory, configuration: longer, until: 14 });
    expect(readdirSync(join(directory, 'artifacts')).toSorted()).toEqual(['notes.txt']);
  });

  it('are not removed, and the resume fails, if a folder has the name of a picture', async () => {
    const directory = await makeUp({ runs, draw: () => Promise.resolve(drawn) });
    const picture = join(directory, 'artifacts', 'loss.svg');
    rmSync(picture);
    mkdirSync(picture);
    writeFileSync(join(picture, 'notes.txt'), 'mine');
    const longer = { ...configuration, steps: 20 };
    const resumed = makeUp({ runs, resume: directory, configuration: longer, until: 14 });
    await expect(resumed).rejects.toMatchObject({
      code: 'DATA',
      message: `${picture} cannot be read: it is a folder, not a regular file`,
    });
    expect(read(picture, 'notes.txt')).toBe('mine');
    expect(existsSync(join(directory, 'artifacts', 'manifest.json'))).toBe(true);
  });

  it('stay if another coordinator has taken the run over', async () => {
    const directory = await makeUp({ runs, draw: () => Promise.resolve(drawn) });
    const before = readdirSync(join(directory, 'artifacts'));
    await removeArtifacts(directory, join(directory, '.drafts-0'), systemDisk);
    expect(readdirSync(join(directory, 'artifacts'))).toEqual(before);
  });

  it.each(['no JSON', listing('../run.json'), listing('..')])(
    'stay, like all other files, if their list was tampered with: %s',
    async (text) => {
      const directory = await makeUp({ runs, draw: () => Promise.resolve(drawn) });
      writeFileSync(join(directory, 'artifacts', 'manifest.json'), text);
      await makeUp({
        runs,
        resume: directory,
        configuration: { ...configuration, steps: 20 },
        until: 14,
      });
      expect(existsSync(join(directory, 'run.json'))).toBe(true);
      expect(existsSync(join(directory, 'artifacts', 'loss.svg'))).toBe(true);
      expect(existsSync(join(directory, 'artifacts', 'manifest.json'))).toBe(false);
    },
  );
});
