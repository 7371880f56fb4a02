import { Ajv, type ValidateFunction } from 'ajv';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGenerator } from 'ts-json-schema-generator';

const types = fileURLToPath(
  new URL('../../../../node_modules/@grafana/schema/dist/types/raw/', import.meta.url),
);
const made = new Map<string, ValidateFunction>();

/** A validator generated from a type in @grafana/schema. A key that the type lacks is an error. */
export function validatorOf(file: string, type: string): ValidateFunction {
  const key = `${file} ${type}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-schema-'));
  try {
    // The types must find their own package, as they do when they are imported.
    const tsconfig = join(folder, 'tsconfig.json');
    const compilerOptions = { module: 'nodenext', skipLibCheck: true, strict: true, types: [] };
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions }));
    const path = join(types, file, 'types.gen.d.ts');
    const generator = createGenerator({
      path,
      type,
      tsconfig,
      skipTypeCheck: true,
      additionalProperties: false,
    });
    const schema: Record<string, unknown> = { ...extended(generator.createSchema(type)) };
    const validate = new Ajv({ allErrors: true, strict: false }).compile(schema);
    made.set(key, validate);
    return validate;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Keys that the types lack: those that the Prometheus data source adds to an annotation, and those
 * that Grafana adds to a variable.
 */
const extras: Readonly<Record<string, readonly string[]>> = {
  AnnotationQuery: ['expr', 'step', 'textFormat'],
  VariableModel: ['definition'],
};

function extended<T extends { definitions?: Record<string, unknown> | undefined }>(schema: T): T {
  for (const [name, keys] of Object.entries(extras)) {
    const definition = schema.definitions?.[name];
    if (typeof definition !== 'object' || definition === null || !('properties' in definition))
      continue;
    const { properties } = definition;
    if (typeof properties !== 'object') continue;
    definition.properties = {
      ...properties,
      ...Object.fromEntries(keys.map((key) => [key, { type: 'string' }])),
    };
  }
  return schema;
}
