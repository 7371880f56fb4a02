import { Ajv, type ValidateFunction } from 'ajv';
import { Job, type IJob } from 'kubernetes-models/batch/v1';
import * as core from 'kubernetes-models/v1';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGenerator } from 'ts-json-schema-generator';
import { messageOf } from '../../../shared/errors.ts';
import type { Manifest } from '../../fixtures/deploy/kustomize.ts';

const types = fileURLToPath(new URL('../../../node_modules/kubernetes-models/', import.meta.url));
const coreKinds = ['ConfigMap', 'Namespace', 'PersistentVolumeClaim', 'Pod', 'Secret', 'Service'];
const ajv = new Ajv({ allErrors: true, strict: false });
const schema = strictSchema();

/** The kinds that we use. */
const kinds: Readonly<Record<string, (manifest: Manifest) => string[]>> = {
  Job: checked(ajv.compile<IJob>(typed('IJob')), (data) => new Job(data)),
  ConfigMap: checked(
    ajv.compile<core.IConfigMap>(typed('IConfigMap')),
    (data) => new core.ConfigMap(data),
  ),
  Namespace: checked(
    ajv.compile<core.INamespace>(typed('INamespace')),
    (data) => new core.Namespace(data),
  ),
  PersistentVolumeClaim: checked(
    ajv.compile<core.IPersistentVolumeClaim>(typed('IPersistentVolumeClaim')),
    (data) => new core.PersistentVolumeClaim(data),
  ),
  Pod: checked(ajv.compile<core.IPod>(typed('IPod')), (data) => new core.Pod(data)),
  Secret: checked(ajv.compile<core.ISecret>(typed('ISecret')), (data) => new core.Secret(data)),
  Service: checked(ajv.compile<core.IService>(typed('IService')), (data) => new core.Service(data)),
};

/**
 * Why Kubernetes would reject a manifest: according to the types of kubernetes-models, in which an
 * unknown field is an error, and to its validators, which know formats but ignore unknown fields.
 */
export function schemaProblems(manifest: Manifest): string[] {
  const check = kinds[manifest.kind];
  return check === undefined ? [`the kind ${manifest.kind} is not known here`] : check(manifest);
}

function typed(type: string): Record<string, unknown> {
  return { ...schema, $ref: `#/definitions/${type}` };
}

function checked<T>(validate: ValidateFunction<T>, model: (data: T) => { validate(): void }) {
  return (manifest: Manifest): string[] => {
    const data: unknown = manifest;
    if (!validate(data))
      return (validate.errors ?? []).map(
        ({ instancePath, message = '', params }) =>
          `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
    try {
      model(data).validate();
      return [];
    } catch (error) {
      return [messageOf(error)];
    }
  };
}

/** All types as one JSON Schema that rejects unknown keys in objects. */
function strictSchema(): Record<string, unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-schema-'));
  try {
    const tsconfig = join(folder, 'tsconfig.json');
    const compilerOptions = { module: 'nodenext', skipLibCheck: true, strict: true, types: [] };
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions }));
    const path = join(folder, 'kinds.d.ts');
    const files = ['batch/v1/Job', ...coreKinds.map((kind) => `v1/${kind}`)];
    const imports = files.map((file) => `import type { I${nameIn(file)} } from '${types}${file}';`);
    const union = `export type Kinds = ${files.map((file) => `I${nameIn(file)}`).join(' | ')};`;
    writeFileSync(path, [...imports, union].join('\n'));
    const generator = createGenerator({
      path,
      type: 'Kinds',
      tsconfig,
      skipTypeCheck: true,
      additionalProperties: false,
    });
    return { ...generator.createSchema('Kinds') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nameIn(file: string): string {
  return file.slice(file.lastIndexOf('/') + 1);
}
