import * as operator from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Ajv, type ValidateFunction } from 'ajv';
import { Job, type IJob } from 'kubernetes-models/batch/v1';
import { NetworkPolicy, type INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { PodDisruptionBudget, type IPodDisruptionBudget } from 'kubernetes-models/policy/v1';
import * as core from 'kubernetes-models/v1';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGenerator } from 'ts-json-schema-generator';
import { z } from 'zod';
import { messageOf } from '../../../shared/errors.ts';
import {
  isObject,
  json,
  tools,
  type Json,
  type Manifest,
} from '../../fixtures/deploy/kustomize.ts';

const packages = fileURLToPath(new URL('../../../node_modules/', import.meta.url));
/** The modules that declare the types that we use. */
const sources = [
  'kubernetes-models/batch/v1/Job',
  'kubernetes-models/networking.k8s.io/v1/NetworkPolicy',
  'kubernetes-models/policy/v1/PodDisruptionBudget',
  '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor',
  ...['ConfigMap', 'Namespace', 'PersistentVolumeClaim', 'Pod', 'Secret', 'Service'].map(
    (kind) => `kubernetes-models/v1/${kind}`,
  ),
];
const ajv = new Ajv({ allErrors: true, strict: false, validateFormats: false });
const schema = strictSchema();

/** The kinds of manifests that we use. */
const kinds: Readonly<Record<string, (manifest: Manifest) => string[]>> = {
  Job: checked(ajv.compile<IJob>(typed('IJob')), (data) => new Job(data)),
  NetworkPolicy: checked(
    ajv.compile<INetworkPolicy>(typed('INetworkPolicy')),
    (data) => new NetworkPolicy(data),
  ),
  PodDisruptionBudget: checked(
    ajv.compile<IPodDisruptionBudget>(typed('IPodDisruptionBudget')),
    (data) => new PodDisruptionBudget(data),
  ),
  PodMonitor: checked(
    ajv.compile<operator.IPodMonitor>(typed('IPodMonitor')),
    (data) => new operator.PodMonitor(data),
  ),
  JobSet: jobSetCheck(),
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
 * unknown field is an error, and to its validators, which know formats but ignore unknown fields. A
 * JobSet is checked against Kubeflow's types instead.
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
    if (!validate(data)) return errorsOf(validate);
    try {
      model(data).validate();
      return [];
    } catch (error) {
      return [messageOf(error)];
    }
  };
}

function errorsOf({ errors }: ValidateFunction): string[] {
  return (errors ?? []).map(
    ({ instancePath, message = '', params }) =>
      `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

function jobSetCheck(): (manifest: Manifest) => string[] {
  const file = join(tools, 'jobset.schema.json');
  if (!existsSync(file)) return () => ['test/install-kubernetes.sh was not run'];
  const validate = ajv.compile(schemaIn(file));
  return (manifest) => (validate(manifest) ? [] : errorsOf(validate));
}

function schemaIn(file: string): Record<string, Json> {
  return z
    .record(z.string(), json)
    .parse(strict(json.parse(JSON.parse(readFileSync(file, 'utf8')))));
}

/**
 * A JSON Schema from pydantic that also rejects unknown keys. In Python, a value of several types,
 * such as a quantity, is an object. In a manifest, it is a string or a number.
 */
function strict(part: Json): Json {
  if (Array.isArray(part)) return part.map(strict);
  if (!isObject(part)) return part;
  const { properties } = part;
  if (isObject(properties) && 'actual_instance' in properties)
    return { type: ['string', 'number'] };
  const entries = Object.entries(part).map(([key, value]) => [key, strict(value)] as const);
  const closed = isObject(properties) ? { additionalProperties: false } : {};
  return { ...Object.fromEntries(entries), ...closed };
}

/** All types as one JSON Schema that rejects unknown keys in objects. */
function strictSchema(): Record<string, unknown> {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-schema-'));
  try {
    const tsconfig = join(folder, 'tsconfig.json');
    const compilerOptions = { module: 'nodenext', skipLibCheck: true, strict: true, types: [] };
    writeFileSync(tsconfig, JSON.stringify({ compilerOptions }));
    const path = join(folder, 'kinds.d.ts');
    const types = sources.map((source) => `I${source.slice(source.lastIndexOf('/') + 1)}`);
    const imports = sources.map(
      (source, at) => `import type { ${types[at]} } from '${packages}${source}';`,
    );
    const union = `export type Kinds = ${types.join(' | ')};`;
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
