import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSweepFile } from '../../../../cli/sweep/sweep-file.ts';
import {
  checkSameSweep,
  readSweepRecord,
  sweepRecordOf,
  writeSweepRecord,
} from '../../../../cli/sweep/sweep-record.ts';
import { trialsOf } from '../../../../cli/sweep/trials.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const TEXT = 'options: {steps: 9}\nvary: {epochs: [1, 2], seed: [3]}\n';

function recordOf(text: string) {
  const file = parseSweepFile(text, 's.yaml');
  return sweepRecordOf(file, trialsOf(file), { version: '1.2.3', engine: 'wasm' });
}

describe('the record of a sweep', () => {
  it('is read as it was written', async () => {
    const folder = temporaryFolder();
    expect(await readSweepRecord(folder)).toBeUndefined();
    await writeSweepRecord(folder, recordOf(TEXT));
    expect(await readSweepRecord(folder)).toEqual(recordOf(TEXT));
    writeFileSync(join(folder, 'sweep.json'), '{"format":2}');
    await expect(readSweepRecord(folder)).rejects.toThrow(
      /sweep\.json is not a sweep: .*at format/,
    );
  });

  it('is that of the same file however its values are written, and of one with more trials', () => {
    const again = ['options:\n  steps: "9"\nvary:\n  epochs: [01, 2]\n  seed: [3]\n', TEXT];
    for (const text of [...again, TEXT.replace('[1, 2]', '[1, 2, 3]')])
      expect(() => checkSameSweep('runs/s', recordOf(text), recordOf(TEXT))).not.toThrow();
  });

  it.each([
    ['steps: 9', 'steps: 8', 'steps 9, not 8'],
    ['{steps: 9}', '{}', 'steps 9, not unset'],
    ['[1, 2]', '[1, 3]', 'trial-002 has epochs 2, not 3'],
    ['[1, 2]', '[1]', '2 trials, not 1'],
    ['seed: [3]', 'batch-size: [3]', 'vary: epochs, seed, not epochs, batch-size'],
    ['options', 'search: random\ntrials: 9\noptions', 'search grid, not random'],
  ])('differs from that of another file: %s, %s', (from, to, what) => {
    const other = recordOf(TEXT.replace(from, to));
    expect(() => checkSameSweep('runs/s', other, recordOf(TEXT))).toThrow(
      `runs/s was started as another sweep: ${what}`,
    );
  });
});
