import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { coordinatorMessage, workerMessage } from '../../../../shared/wire/messages.ts';
import { runDescriptionSchema } from '../../../../shared/wire/run-description.ts';

/** Moves a cursor, rings the bell, and turns the text around. */
const HOSTILE = '\u001B[2J\u0007\u202Ex';

/** Every schema of a string in a schema, with its path. */
function stringsIn(schema: unknown, path: string): [string, z.ZodType<string>][] {
  if (schema instanceof z.ZodObject)
    return Object.entries(schema.shape).flatMap(([key, each]) => stringsIn(each, `${path}.${key}`));
  if (schema instanceof z.ZodUnion)
    return schema.options.flatMap((each, i) => stringsIn(each, `${path}[${i}]`));
  if (schema instanceof z.ZodArray) return stringsIn(schema.element, `${path}[]`);
  if (schema instanceof z.ZodTuple)
    return schema.def.items.flatMap((each, i) => stringsIn(each, `${path}[${i}]`));
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable)
    return stringsIn(schema.unwrap(), path);
  if (schema instanceof z.ZodRecord)
    return [
      ...stringsIn(schema.keyType, `${path}{key}`),
      ...stringsIn(schema.valueType, `${path}{}`),
    ];
  if (schema instanceof z.ZodPipe) return stringsIn(schema.in, path);
  if (schema instanceof z.ZodString) return [[path, schema]];
  return [];
}

/** Class names are kept as they are: they belong to the dataset, and all output escapes them. */
function isShownEscaped(path: string): boolean {
  return path.startsWith('run.class_names');
}

describe('a string from a peer', () => {
  const found = [
    ...stringsIn(workerMessage, 'worker'),
    ...stringsIn(coordinatorMessage, 'coordinator'),
    ...stringsIn(runDescriptionSchema, 'run').filter(([path]) => !isShownEscaped(path)),
  ];

  it('is found in all schemas', () => {
    const paths = found.map(([path]) => path).join(' ');
    for (const name of ['.name', '.version', '.session', '.message', '.fingerprint'])
      expect(paths).toContain(name);
  });

  it.each(found)('is refused or made printable: %s', (_, schema) => {
    const { data } = schema.safeParse(HOSTILE);
    expect(data ?? '').not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});
