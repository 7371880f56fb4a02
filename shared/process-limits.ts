import { readFileSync } from 'node:fs';

/**
 * A limit of this process as Linux names it, such as "Max open files"; undefined if it is unlimited
 * or unknown.
 */
export function processLimit(name: string): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    const text = new RegExp(`^${name} +(\\d+)`, 'm').exec(limits)?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}
