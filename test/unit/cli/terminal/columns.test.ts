import { describe, expect, it } from 'vitest';
import { columnsOf, firstColumns, padLeft, padRight } from '../../../../cli/terminal/columns.ts';
import { plainText, shortened } from '../../../../cli/terminal/styled-line.ts';
import { confusionLines } from '../../../../cli/terminal/summary.ts';

describe('the width of a string', () => {
  it.each([
    ['', 0],
    ['T-shirt/top', 11],
    ['é', 1],
    ['e\u0301', 1],
    ['を', 2],
    ['か\u3099', 2],
    ['カー', 4],
    ['ｶｰ', 2],
    ['犬𠮟', 4],
    ['한글', 4],
    ['！', 2],
    ['👩\u200d💻', 2],
    ['⠿━', 2],
    ['Я', 1],
  ])('is that of the characters shown: %j has %i columns', (text, columns) => {
    expect(columnsOf(text)).toBe(columns);
  });

  it('decides how the string is padded and shortened, without cutting a character', () => {
    expect(padRight('を', 4)).toBe('を  ');
    expect(padLeft('を', 4)).toBe('  を');
    expect(padLeft('をを', 3)).toBe('をを');
    expect(firstColumns('aをを', 4)).toBe('aを');
    expect(shortened('おきすつなはま', 10)).toBe('おきす...');
    expect(shortened('おきすつな', 10)).toBe('おきすつな');
  });
});

it('a confusion matrix with the Kuzushiji-MNIST classes is aligned', () => {
  const classNames = ['お', 'き', 'す', 'つ', 'な', 'は', 'ま', 'や', 'れ', 'を'];
  const confusion = classNames.map((_, i) => classNames.map((_each, j) => (i === j ? 980 : 2)));
  const [, ...lines] = confusionLines({ loss: 0.1, accuracy: 0.98, confusion, classNames }, 100);
  expect(lines).toHaveLength(11);
  expect(new Set(lines.map((line) => columnsOf(plainText(line)))).size).toBe(1);
  expect(plainText(lines[0] ?? '')).toMatch(/^true +お +き/);
});
