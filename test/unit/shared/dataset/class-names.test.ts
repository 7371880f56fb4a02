import { describe, expect, it } from 'vitest';
import { knownClassNames, parseClassNames } from '../../../../shared/dataset/class-names.ts';

describe('class names', () => {
  it('are read one per line, with any line ending', () => {
    expect(parseClassNames('a\nb c\r\nd\n', 'f')).toEqual(['a', 'b c', 'd']);
    expect(parseClassNames('été\n犬', 'f')).toEqual(['été', '犬']);
  });

  it.each([
    ['', /f has 0 class names/],
    ['only\n', /f has 1 class names/],
    ['x\n'.repeat(257), /f has 257 class names/],
    ['a\n\nb', /f, line 2: "" is not a class name/],
    ['a\nb\u001b[2J', /f, line 2/],
    ['a\nb\u202e', /f, line 2/],
    [`a\n${'b'.repeat(65)}`, /f, line 2/],
    ['a\nb\na', /lines 1 and 3 are both "a"/],
  ])('are rejected in the file %j', (text, message) => {
    expect(() => parseClassNames(text, 'f')).toThrow(message);
  });

  it('are known for Fashion-MNIST, which is identified by its labels', () => {
    const known = knownClassNames(
      '3c21fee794d4e929e970f998d4bd834b9bcc1484fcff27a63c189edbc12937f4',
    );
    expect(known.name).toBe('Fashion-MNIST');
    expect(known.classNames).toHaveLength(10);
    expect(knownClassNames('').classNames.join('')).toBe('0123456789');
  });
});
