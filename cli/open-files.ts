import { readFileSync } from 'node:fs';

/** What keeps this process from having so many files open at once, and the way out; undefined where nothing does. */
export function tooFewFiles(count: number): { readonly message: string; readonly fix: string } | undefined {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= count) return undefined;
  return {
    message: `${limit} files may be open at once (ulimit -n), and this needs ${count}`,
    fix: `allow more: ulimit -n ${Math.max(1024, count)}`,
  };
}

/** Node has raised the soft limit to the hard one. Undefined where there is none, or none is known. */
function openFilesLimit(): number | undefined {
  try {
    const text = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}
