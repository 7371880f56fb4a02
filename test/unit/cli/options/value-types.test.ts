import fc from 'fast-check';
import { expect, it } from 'vitest';
import { flagOf, optionKeys, optionOf } from '../../../../cli/options/options.ts';

const numbers = fc.oneof(
  fc.constantFrom('0', '1', '2', '1e-7', '0.0000001', '0.0000003', '4096', '16777216'),
  fc.integer({ min: 0, max: 100_000 }).map(String),
  fc.double({ min: 0, max: 1, noNaN: true }).map(String),
  fc.double({ min: 0, max: 1e9, noNaN: true }).map(String),
  fc.tuple(fc.nat(99), fc.nat(9_999_999)).map(([whole, part]) => `${whole}.${part}`),
);
const units = fc.constantFrom('', 's', 'ms', 'm', 'h', 'd', 'epochs', ' epoch', 'kB', 'MiB');
const quantities = fc.tuple(numbers, units).map((parts) => parts.join(''));
const lists = fc.array(quantities, { minLength: 1, maxLength: 4 }).map((items) => items.join());
const ranges = fc.tuple(fc.nat(999), fc.nat(999)).map((ends) => ends.join('..'));
const texts = ['a', 'b.c', 'cuda:1', '127.0.0.1', 'ab'.repeat(32), 'yes', 'HTTP://Host:80/a//'];
const names = fc.constantFrom(...texts);

it.each(optionKeys.map((key) => ({ flag: flagOf(key), type: optionOf(key).type })))(
  '$flag reads each of its values from the text that it writes for a child process',
  ({ type }) => {
    const words = fc.constantFrom('true', ...type.words);
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(words, names, numbers, quantities, lists, ranges), (text) => {
        const value = type.parse(text);
        if (value === undefined) return;
        accepted++;
        expect(type.parse(type.format(value)), text).toEqual(value);
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(0);
  },
);
