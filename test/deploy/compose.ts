import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { z } from 'zod';

export const docker = fileURLToPath(new URL('../../deploy/docker/', import.meta.url));

/** What our services consist of. Strict: a field that nobody here knows is one that nobody checks. */
const service = z.strictObject({
  image: z.string(),
  build: z
    .strictObject({
      ...{ context: z.string(), dockerfile: z.string() },
      args: z.strictObject({ DEVICE: z.enum(['cpu', 'gpu']) }).optional(),
    })
    .optional(),
  hostname: z.string().optional(),
  init: z.boolean().optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string()).default([]),
  cap_drop: z.array(z.string()).default([]),
  security_opt: z.array(z.string()).default([]),
  group_add: z.array(z.string()).default([]),
  entrypoint: z.array(z.string()).default([]),
  command: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  secrets: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  ports: z.array(z.string()).default([]),
  network_mode: z.string().optional(),
  healthcheck: z.strictObject({ disable: z.literal(true) }).optional(),
  deploy: z.looseObject({ replicas: z.int() }).optional(),
  stop_grace_period: z.string().optional(),
  restart: z.string().optional(),
});
export type Service = z.infer<typeof service>;

const compose = z.looseObject({
  name: z.string(),
  services: z.strictObject({
    ...{ coordinator: service, worker: service },
    ...{ prometheus: service, grafana: service },
  }),
  volumes: z.record(z.string(), z.null()),
  secrets: z.record(z.string(), z.strictObject({ file: z.string() })),
});
export type Compose = z.infer<typeof compose>;

type Environment = Readonly<Record<string, string>>;

/** A file of Compose as YAML, with anchors and `<<` in their places. */
export function composeFile(text: string): unknown {
  return parse(text, { merge: true });
}

/** Compose's own schema, as dclint brings it along. */
const schemaFile = join(
  dirname(createRequire(import.meta.url).resolve('dclint/package.json')),
  'schemas',
  'compose.schema.json',
);
const validate = new Ajv({ allErrors: true, strict: false, logger: false }).compile(
  z.record(z.string(), z.unknown()).parse(
    JSON.parse(readFileSync(schemaFile, 'utf8'), (key, value: unknown) =>
      // Draft 7 is what ajv takes anyway; the address has no #, and is not looked up.
      key === '$schema' ? undefined : value,
    ),
  ),
);

/** What Compose's schema has against a file. */
export function schemaProblems(file: unknown): string[] {
  if (validate(file)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

/** The files laid over each other as Compose does, with variables in their places. Throws where one is missing or unknown. */
export function readCompose(files: readonly unknown[], environment: Environment): Compose {
  return compose.parse(
    interpolate(
      files.reduce((below, above) => merge(below, above)),
      environment,
    ),
  );
}

/** Maps are merged; our overlays change no list. */
function merge(below: unknown, above: unknown): unknown {
  if (!isMap(below) || !isMap(above)) return above;
  const merged = Object.entries(above).map(([key, value]) => [
    key,
    key in below ? merge(below[key], value) : value,
  ]);
  return { ...below, ...Object.fromEntries(merged) };
}

function interpolate(value: unknown, environment: Environment): unknown {
  if (typeof value === 'string') return replaceVariables(value, environment);
  if (Array.isArray(value)) return value.map((item) => interpolate(item, environment));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, interpolate(inner, environment)]),
  );
}

/** $$ is a dollar sign; ${NAME:-default} and ${NAME:?message} are what we use of the rest. */
function replaceVariables(text: string, environment: Environment): string {
  return text.replaceAll(/\$(?:(\$)|\{(\w+):([-?])([^}]*)\}|)/g, (whole, dollar, name, sign, word) => {
    if (dollar !== undefined) return '$';
    if (name === undefined) throw new Error(`${text}: a single $ (${whole})`);
    const value = environment[name] ?? '';
    if (value !== '') return value;
    if (sign === '?') throw new Error(`${name} is missing: ${word}`);
    return word;
  });
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `HOST:CONTAINER[:ro]` of a volume. */
export function mountOf(volume: string): { source: string; target: string; isReadOnly: boolean } {
  const [source = '', target = '', mode] = volume.split(':');
  return { source, target, isReadOnly: mode === 'ro' };
}
