import type { z } from 'zod';

/**
 * The lines of a .jsonl file that are what the schema says; all others are left out. For what is only shown: nothing depends on
 * it, and whoever wants to know what is wrong with a line reads the file.
 */
export function parseLines<T>(text: string, schema: z.ZodType<T>): T[] {
  return text.split('\n').flatMap((line) => {
    if (line === '') return [];
    try {
      const parsed = schema.safeParse(JSON.parse(line));
      return parsed.success ? [parsed.data] : [];
    } catch {
      // It is not JSON: a crash has torn it.
      return [];
    }
  });
}
