import {
  augmentParts,
  augmentText,
  NO_AUGMENT,
  type Augment,
} from '../../shared/arithmetic/augment.ts';
import { MAX_ROTATE_DEGREES, MAX_SHIFT_PIXELS, MAX_ZOOM } from '../../shared/limits/augment.ts';
import { nearest } from './suggest.ts';
import { inverted, synonymOf } from './synonyms.ts';
import { decimal, type ValueType } from './value-types.ts';

type Part = (typeof augmentParts)[number];

const maxima: Readonly<Record<Part, number>> = {
  shift: MAX_SHIFT_PIXELS,
  rotate: MAX_ROTATE_DEGREES,
  zoom: MAX_ZOOM,
};

const partSynonyms = inverted({
  shift: 'translate translation translation-range width-shift-range height-shift-range offset move',
  rotate: 'rotation rotation-range degrees angle turn',
  zoom: 'scale zoom-range scaling size',
});

/** The limits of `--augment`: its parts in any order, or `off`. */
export const augmentType: ValueType<Augment> = {
  metavar: 'shift=X,rotate=X,zoom=X',
  allowed:
    `shift from 0 to ${MAX_SHIFT_PIXELS} pixels, rotate from 0 to ${MAX_ROTATE_DEGREES} degrees ` +
    `and zoom from 0 to ${MAX_ZOOM}, or some of them, such as shift=2,rotate=10,zoom=0.1; or off`,
  words: ['off'],
  /** The same text with the right names, if they are all that is wrong. */
  meant(text) {
    const renamed = partsOf(text).map(([name, value]) => {
      const part = synonymOf(name, partSynonyms) ?? nearest(name, augmentParts) ?? name;
      return `${part}=${value}`;
    });
    const whole = renamed.join(',');
    return augmentOf(whole) === undefined ? offOf(text) : whole;
  },
  parse: (text) => (text === 'off' ? NO_AUGMENT : augmentOf(text)),
  format: augmentText,
};

/** "off" for a word that means the same. */
function offOf(text: string): string | undefined {
  return ['none', 'no', 'false', '0'].includes(text.toLowerCase()) ? 'off' : undefined;
}

/** The names with their values, as text. */
function partsOf(text: string): [string, string][] {
  return text.split(',').map((part) => {
    const [name = '', ...value] = part.split('=');
    return [name.trim(), value.join('=').trim()];
  });
}

function augmentOf(text: string): Augment | undefined {
  const found: Partial<Record<Part, number>> = {};
  for (const [name, value] of partsOf(text)) {
    const part = augmentParts.find((each) => each === name);
    if (part === undefined || found[part] !== undefined) return undefined;
    const amount = decimal('', (x) => x >= 0 && x <= maxima[part]).parse(value);
    if (amount === undefined) return undefined;
    found[part] = amount;
  }
  return { ...NO_AUGMENT, ...found };
}
