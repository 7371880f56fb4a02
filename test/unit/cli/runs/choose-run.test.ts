import { cpSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { chooseRun } from '../../../../cli/runs/choose-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
  for (const [name, day] of [
    ['first', '01'],
    ['newest', '03'],
    ['second', '02'],
    ['.half.pull', '04'],
  ] as const) {
    mkdirSync(join(runs, name));
    writeFileSync(join(runs, name, 'run.json'), `{"started":"2026-01-${day}T00:00:00.000Z"}`);
  }
  mkdirSync(join(runs, 'foreign'));
  writeFileSync(join(runs, 'file'), '');
});

function refusal(named: string | undefined, folder = runs): string {
  try {
    chooseRun(named, folder);
  } catch (error) {
    expect(error).toMatchObject({ code: 'USAGE' });
    if (error instanceof Error && 'fix' in error) return `${error.message} | ${String(error.fix)}`;
  }
  throw new Error('it was accepted');
}

describe('the chosen run', () => {
  it('is the given one, or the newest', () => {
    expect(chooseRun(join(runs, 'first'), 'elsewhere')).toBe(join(runs, 'first'));
    expect(chooseRun(undefined, runs)).toBe(join(runs, 'newest'));
  });

  it('is also one that a link leads to', () => {
    const elsewhere = temporaryFolder();
    writeFileSync(join(elsewhere, 'run.json'), '{"started":"2026-01-05T00:00:00.000Z"}');
    symlinkSync(elsewhere, join(runs, 'linked'));
    symlinkSync(join(runs, 'gone'), join(runs, 'dangling'));
    expect(chooseRun(undefined, runs)).toBe(join(runs, 'linked'));
  });

  it('is refused if its name is misspelled, and the most similar name is suggested', () => {
    expect(refusal(join(runs, 'secnd'))).toContain(`did you mean ${join(runs, 'second')}?`);
    expect(refusal('first')).toContain(`did you mean ${join(runs, 'first')}?`);
    expect(refusal('nothing-like-that')).not.toContain('did you mean');
    expect(refusal(join(runs, 'half.pull'))).not.toContain('.half.pull?');
  });

  it('is neither a file nor a folder of runs', () => {
    expect(refusal(join(runs, 'file'))).toContain('is a file; a run is a directory');
    expect(refusal(runs)).toContain(`choose one of them, such as ${join(runs, 'newest')}`);
    expect(refusal(undefined, join(runs, 'foreign'))).toContain('there is no run in');
    expect(refusal(undefined, join(runs, 'none'))).toContain('there is no run in');
  });

  it('may contain a copy of another run', () => {
    cpSync(join(runs, 'first'), join(runs, 'newest', 'copy'), { recursive: true });
    expect(chooseRun(join(runs, 'newest'), runs)).toBe(join(runs, 'newest'));
  });

  it('is suggested with a path that a shell reads as one word', () => {
    const spaced = join(runs, 'my runs');
    mkdirSync(spaced);
    renameSync(join(runs, 'newest'), join(spaced, 'a b'));
    writeFileSync(join(spaced, 'file'), '');
    const said = refusal(spaced);
    expect(said).toContain(`such as '${join(spaced, 'a b')}'`);
    expect(said).toContain(`--runs-dir '${spaced}'`);
    expect(refusal(join(spaced, 'file'))).toContain(`use its directory: '${spaced}'`);
    expect(refusal(join(spaced, 'a c'))).toContain(`did you mean '${join(spaced, 'a b')}'?`);
  });

  it.each(['loop', 'x'.repeat(300)])(
    'is rejected with DATA when its path cannot be followed',
    (name) => {
      symlinkSync(join(runs, 'loop'), join(runs, 'loop'));
      expect(() => chooseRun(join(runs, name), runs)).toThrow(
        expect.objectContaining({
          code: 'DATA',
          message: expect.stringContaining('cannot be read'),
        }),
      );
    },
  );
});
