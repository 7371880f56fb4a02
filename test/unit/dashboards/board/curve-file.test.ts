import { appendFileSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CurveFile } from '../../../../dashboards/board/curve-file.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

/** As in a real file, the digest depends on the line. */
const line = (step: number, loss = 1 / step) =>
  `{"kind":"step","step":${step},"epoch":1,"samples":4,"loss":${loss},"correct":2,` +
  `"milliseconds":1.5,"learning_rate":0.1,"weights":"00","chain":"00","digest":"${loss}"}\n`;
const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => line(from + i)).join('');
const evaluation = (step: number, set: string) =>
  `{"kind":"evaluation","set":"${set}","step":${step},"epoch":1,"samples":8,"loss":0.5,` +
  `"correct":6,"digest":"00"}\n`;

function fileWith(text: string): { path: string; curve: CurveFile } {
  const path = join(temporaryFolder(), 'metrics.jsonl');
  writeFileSync(path, text);
  return { path, curve: new CurveFile(path, 'test') };
}

describe('the curve in a metrics.jsonl file', () => {
  it('grows with the file, and waits for the end of a line that is being written', async () => {
    const half = line(3).slice(0, 40);
    const { path, curve } = fileWith(lines(1, 2) + half);
    expect((await curve.read()).step).toEqual([1, 2]);
    appendFileSync(path, line(3).slice(40) + line(4));
    const read = await curve.read();
    expect(read.step).toEqual([1, 2, 3, 4]);
    expect([read.problem, read.isPartial]).toEqual(['', false]);
  });

  it('starts over if a file takes the place of another', async () => {
    const { path, curve } = fileWith(lines(1, 9));
    expect((await curve.read()).step).toHaveLength(9);
    writeFileSync(`${path}.new`, lines(1, 3) + line(4, 7) + lines(5, 12));
    renameSync(`${path}.new`, path);
    expect((await curve.read()).loss.mean[3]).toBe(7);
    truncateSync(path, Buffer.byteLength(lines(1, 2)));
    expect((await curve.read()).step).toEqual([1, 2]);
  });

  it('notices that the lines before its position have been replaced in place', async () => {
    const { path, curve } = fileWith(lines(1, 2) + line(3, 5));
    await curve.read();
    writeFileSync(path, lines(1, 2) + line(3, 6) + line(4));
    expect((await curve.read()).loss.mean[2]).toBe(6);
  });

  it.each([
    ['text that is not JSON', 'x\n'],
    ['a list', '[]\n'],
    ['a loss that is not finite', line(2).replace('0.5', '1e999')],
    ['a loss that is text', line(2).replace('0.5', '"0.5"')],
    ['a step of another kind', line(2).replace('"kind":"step"', '"kind":"stop"')],
    ['a fraction of a step', line(2).replace('"step":2', '"step":2.5')],
    ['a step without samples', line(2).replace('"samples":4', '"samples":0')],
    ['a line that never ends', 'x'.repeat(5000)],
  ])('ends before %s, and says so', async (_, bad) => {
    const read = await fileWith(line(1) + bad + line(3)).curve.read();
    expect(read.step).toEqual([1]);
    expect(read.problem).toContain('line 2 of metrics.jsonl is damaged');
  });

  it('has the evaluations of its set only', async () => {
    const { curve } = fileWith(line(1) + evaluation(1, 'validation') + evaluation(1, 'test'));
    expect((await curve.read()).evaluations).toEqual([[1, 0.5, 0.75]]);
  });

  it('does not follow a link', async () => {
    const { path } = fileWith(line(1));
    symlinkSync(path, `${path}.link`);
    await expect(new CurveFile(`${path}.link`, 'test').read()).rejects.toThrow('it is a link');
  });
});
