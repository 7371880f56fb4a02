import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { configSchema } from '../../../../cli/completion/config-schema.ts';
import { optionKeys } from '../../../../cli/options/options.ts';

const schema = z.fromJSONSchema(z.record(z.string(), z.json()).parse(configSchema()));
const accepts = (file: unknown) => schema.safeParse(file).success;

describe('the schema of configuration files', () => {
  it('accepts files that the commands accept', () => {
    const file = new URL('../../../../deploy/docker/training.yaml', import.meta.url);
    expect(accepts(parse(readFileSync(file, 'utf8')))).toBe(true);
    expect(accepts({ 'batch-size': 256, hidden: [256, 128], warmup: '2epochs' })).toBe(true);
  });

  it('rejects unknown keys, words and switches that are no booleans', () => {
    expect(accepts({ 'batch-sise': 256 })).toBe(false);
    expect(accepts({ optimizer: 'rmsprop' })).toBe(false);
    expect(accepts({ http: 3 })).toBe(false);
  });

  it('has every option except --config, and aliases', () => {
    const properties = z.looseObject({ properties: z.record(z.string(), z.unknown()) });
    const names = Object.keys(properties.parse(configSchema()).properties);
    expect(names.length).toBeGreaterThanOrEqual(optionKeys.length - 1);
    expect(names).toContain('rdzv-endpoint');
    expect(names).not.toContain('config');
  });
});
