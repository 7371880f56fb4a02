/** A stand-in until the page is there. */
export const pageHeaders: Readonly<Record<string, string>> = {};
export function pageFile(_path: string): { readonly type: string; readonly body: Buffer } | undefined {
  return undefined;
}
