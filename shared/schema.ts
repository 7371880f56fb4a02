import { z } from 'zod';
import { visible } from './printable.ts';

/** The issues of a failed parse, on one line. */
export function issuesOf(error: z.ZodError): string {
  return z.prettifyError(error).replaceAll(/\s+/g, ' ');
}

/**
 * The schema of a string from a peer. Such a string is logged and shown in many places, so its
 * unprintable characters are replaced when it is parsed.
 */
export const foreignText = (max: number) => z.string().max(max).overwrite(visible);
