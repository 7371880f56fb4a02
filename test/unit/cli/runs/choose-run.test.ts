import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
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
