import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { z } from 'zod';
import { nameOf, type Manifest } from './kustomize.ts';

const keyed = z.strictObject({ key: z.string(), path: z.string() });
const volume = z.union([
  z.strictObject({
    name: z.string(),
    secret: z.strictObject({ secretName: z.string(), defaultMode: z.int(), items: z.array(keyed) }),
  }),
  z.strictObject({ name: z.string(), configMap: z.strictObject({ name: z.string() }) }),
  z.strictObject({ name: z.string(), emptyDir: z.strictObject({ sizeLimit: z.string() }) }),
  z.strictObject({
    name: z.string(),
    persistentVolumeClaim: z.strictObject({ claimName: z.string(), readOnly: z.boolean().optional() }),
  }),
]);
const keyOf = z.strictObject({ name: z.string(), key: z.string() });
const variable = z.union([
  z.strictObject({ name: z.string(), value: z.string() }),
  z.strictObject({ name: z.string(), valueFrom: z.strictObject({ configMapKeyRef: keyOf }) }),
  z.strictObject({
    name: z.string(),
    valueFrom: z.strictObject({ fieldRef: z.strictObject({ fieldPath: z.literal('metadata.name') }) }),
  }),
]);
const probe = z.looseObject({
  httpGet: z.strictObject({ path: z.string(), port: z.string(), scheme: z.enum(['HTTP', 'HTTPS']) }),
});

/** What our pods consist of, as far as its parts have to agree. */
export const podSpec = z.looseObject({
  restartPolicy: z.literal('Never'),
  securityContext: z.looseObject({}),
  containers: z.tuple([
    z.looseObject({
      name: z.string(),
      image: z.string(),
      command: z.array(z.string()),
      args: z.array(z.string()),
      env: z.array(variable).default([]),
      ports: z.array(z.looseObject({ name: z.string(), containerPort: z.int() })).default([]),
      startupProbe: probe.optional(),
      livenessProbe: probe.optional(),
      readinessProbe: probe.optional(),
      resources: z.looseObject({ limits: z.record(z.string(), z.union([z.string(), z.int()])) }),
      securityContext: z.looseObject({}),
      volumeMounts: z.array(
        z.strictObject({
          ...{ name: z.string(), mountPath: z.string(), subPath: z.string().optional() },
          readOnly: z.boolean().optional(),
        }),
      ),
    }),
  ]),
  volumes: z.array(volume),
});
export type PodSpec = z.infer<typeof podSpec>;

/** Of the pods of a Job. */
export function podOf(job: Manifest): PodSpec {
  return z.looseObject({ spec: z.looseObject({ template: z.looseObject({ spec: podSpec }) }) }).parse(job)
    .spec.template.spec;
}

/** Of secrets and configuration: `Secret/mnist-dist`, then key, then text. */
export type Stored = ReadonlyMap<string, Readonly<Record<string, string>>>;

export function configMapsOf(manifests: readonly Manifest[]): Stored {
  const schema = z.looseObject({ data: z.record(z.string(), z.string()) });
  const maps = manifests.filter(({ kind }) => kind === 'ConfigMap');
  return new Map(maps.map((map) => [nameOf(map), schema.parse(map).data]));
}

/** A container as processes of this machine see it: its volumes are folders, and what it starts is known. */
export interface Container {
  /** The folder in which its mount paths are. */
  readonly root: string;
  readonly environment: Readonly<Record<string, string>>;
  /** The words after `mnist-dist` that its command comes to. */
  argv(): string[];
  /** Its command with all paths in `root`; `mnist-dist` is to be found on PATH. */
  readonly command: readonly [string, ...string[]];
}

/** Lays out a container's volumes and variables. Throws, saying what, where something is referred to that is not there. */
export function layOut(
  { containers: [container], volumes }: PodSpec,
  podName: string,
  stored: Stored,
): Container {
  const root = mkdtempSync(join(tmpdir(), 'mnist-dist-pod-'));
  for (const { name, mountPath, subPath } of container.volumeMounts) {
    const source = volumes.find((each) => each.name === name);
    if (source === undefined) throw new Error(`${mountPath}: there is no volume ${name}`);
    const files = filesOf(source, stored);
    if (subPath === undefined) mkdirSync(root + mountPath, { recursive: true });
    for (const [path, text] of Object.entries(files)) {
      if (subPath !== undefined && subPath !== path) continue;
      const file = root + (subPath === undefined ? join(mountPath, path) : mountPath);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      if ('secret' in source) chmodSync(file, source.secret.defaultMode);
    }
  }
  const environment = Object.fromEntries(
    container.env.map((each) => [each.name, valueOf(each, podName, stored)]),
  );
  const inside = (word: string) =>
    container.volumeMounts
      .reduce((text, { mountPath }) => text.replaceAll(mountPath, `\0${mountPath}`), word)
      .replaceAll(/\0+/g, root)
      .replaceAll(/\$\((\w+)\)/g, (_, name: string) => known(environment[name], `$(${name})`));
  const [first = '', ...rest] = [...container.command, ...container.args].map(inside);
  return {
    ...{ root, environment, command: [first, ...rest] },
    argv: () => argvOf([first, ...rest], root, environment),
  };
}

function filesOf(source: z.infer<typeof volume>, stored: Stored): Record<string, string> {
  if ('configMap' in source)
    return { ...known(stored.get(`ConfigMap/${source.configMap.name}`), source.configMap.name) };
  if (!('secret' in source)) return {};
  const { secretName, items } = source.secret;
  const secret = known(stored.get(`Secret/${secretName}`), secretName);
  return Object.fromEntries(items.map(({ key, path }) => [path, known(secret[key], `${secretName}/${key}`)]));
}

function valueOf(each: z.infer<typeof variable>, podName: string, stored: Stored): string {
  if ('value' in each) return each.value;
  if ('fieldRef' in each.valueFrom) return podName;
  const { name, key } = each.valueFrom.configMapKeyRef;
  return known(stored.get(`ConfigMap/${name}`)?.[key], `${name}/${key}`);
}

function known<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`there is no ${name}`);
  return value;
}

/** Runs the command with a `mnist-dist` that only says what it was given. */
function argvOf(command: readonly [string, ...string[]], root: string, environment: Record<string, string>) {
  const bin = join(root, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, 'mnist-dist'), `#!/bin/sh\nprintf '%s\\n' "$@"\n`, { mode: 0o755 });
  const [program, ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, {
    env: { ...environment, PATH: `${bin}:${process.env['PATH']}` },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`);
  return stdout.trimEnd().split('\n');
}
