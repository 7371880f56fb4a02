/** Whether a loaded addon has all of these functions. */
export function hasFunctions(addon: unknown, names: readonly string[]): boolean {
  return (
    typeof addon === 'object' &&
    addon !== null &&
    names.every((name) => typeof Reflect.get(addon, name) === 'function')
  );
}
