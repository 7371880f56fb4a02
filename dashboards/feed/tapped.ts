/** The same values; `see` is shown each of them on its way. */
export function* tapped<T>(values: Iterable<T>, see: (value: T) => void): Generator<T> {
  for (const value of values) {
    see(value);
    yield value;
  }
}
