/** items[index], which our own code knows to exist. */
export function item<T>(items: readonly T[], index: number): T {
  const found = items[index];
  if (found === undefined) throw new Error(`invariant broken: no item ${index} of ${items.length}`);
  return found;
}
