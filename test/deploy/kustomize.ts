import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';

export const kubernetes = fileURLToPath(new URL('../../deploy/kubernetes/', import.meta.url));

/** What our kustomizations use of kustomize; another key is an error, not passed over. */
const kustomization = z.strictObject({
  apiVersion: z.literal('kustomize.config.k8s.io/v1beta1'),
  kind: z.literal('Kustomization'),
  resources: z.array(z.string()),
  patches: z.array(z.strictObject({ path: z.string() })).default([]),
});

export const json = z.json();
export type Json = z.infer<typeof json>;
const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string(), namespace: z.string().optional() }),
});
export type Manifest = z.infer<typeof manifest>;

/** `Job/mnist-dist-workers`. */
export function nameOf({ kind, metadata }: Manifest): string {
  return `${kind}/${metadata.name}`;
}

export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => manifest.parse(json.parse(document.toJS())));
}

/** What `kubectl kustomize FOLDER` prints, in another order. */
export function build(folder: string): Manifest[] {
  const { resources, patches } = kustomization.parse(
    parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')),
  );
  const manifests = resources.flatMap((resource) =>
    resource.endsWith('.yaml') ? read(join(folder, resource)) : build(join(folder, resource)),
  );
  for (const patch of patches.flatMap(({ path }) => read(join(folder, path)))) {
    const at = manifests.findIndex((each) => nameOf(each) === nameOf(patch));
    const target = manifests[at];
    if (target === undefined) throw new Error(`${folder} patches ${nameOf(patch)}, which is not there`);
    manifests[at] = manifest.parse(merge(json.parse(target), json.parse(patch)));
  }
  return manifests;
}

function read(file: string): Manifest[] {
  return parseManifests(readFileSync(file, 'utf8'));
}

/** A strategic merge: objects key by key, lists of named things name by name, other lists as a whole. */
function merge(target: Json | undefined, patch: Json): Json {
  if (Array.isArray(patch) && Array.isArray(target)) return mergeLists(target, patch);
  if (!isObject(patch) || !isObject(target)) return patch;
  const merged = Object.entries(patch).map(([key, value]) => [key, merge(target[key], value)] as const);
  return { ...target, ...Object.fromEntries(merged) };
}

function mergeLists(target: readonly Json[], patch: readonly Json[]): Json[] {
  if (![...target, ...patch].every((item) => itemName(item) !== undefined)) return [...patch];
  const found = (item: Json) => patch.find((other) => itemName(other) === itemName(item));
  const added = patch.filter((item) => !target.some((other) => itemName(other) === itemName(item)));
  // What is new comes first, as kustomize has it.
  return [...added, ...target.map((item) => merge(item, found(item) ?? {}))];
}

function itemName(item: Json): Json | undefined {
  return isObject(item) ? item['name'] : undefined;
}

function isObject(value: Json | undefined): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
