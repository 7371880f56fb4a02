import { json, parseManifests, type Json, type Manifest } from '../../fixtures/deploy/kustomize.ts';
import { schemaProblems } from './kubernetes-schema.ts';

/** Copies of the manifests, each with one occurrence of the text changed. */
export function replacements(
  manifests: readonly Manifest[],
  right: string,
  wrong: string,
): Manifest[][] {
  const parts = JSON.stringify(manifests).split(right);
  return parts.slice(1).map((_, at) => {
    const [before, after] = [parts.slice(0, at + 1).join(right), parts.slice(at + 1).join(right)];
    return manifestsIn(`${before}${wrong}${after}`);
  });
}

/** Maps with arbitrary keys. */
const free = new Set(['labels', 'data', 'selector', 'limits', 'requests']);

/**
 * The fields of a manifest that could have another name without an error from Kubernetes' types,
 * and how many fields were tried.
 */
export function unnoticed(manifest: Manifest): { tried: number; fields: string[] } {
  const renamed = [...renamings(json.parse(manifest), '')];
  const fields = renamed.filter(({ changed }) => isTaken(changed)).map(({ at }) => at);
  return { tried: renamed.length, fields };
}

function* renamings(value: Json, at: string): Generator<{ at: string; changed: Json }> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries())
      for (const inner of renamings(item, `${at}/${index}`))
        yield { at: inner.at, changed: value.with(index, inner.changed) };
    return;
  }
  for (const [key, field] of Object.entries(value)) {
    const { [key]: _, ...others } = value;
    yield { at: `${at}/${key}`, changed: { ...others, [`${key}s`]: field } };
    if (free.has(key)) continue;
    for (const inner of renamings(field, `${at}/${key}`))
      yield { at: inner.at, changed: { ...value, [key]: inner.changed } };
  }
}

function isTaken(changed: Json): boolean {
  try {
    return manifestsIn(JSON.stringify([changed])).every(
      (each) => schemaProblems(each).length === 0,
    );
  } catch {
    // An object without a kind or a name is not a manifest.
    return false;
  }
}

function manifestsIn(text: string): Manifest[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw new Error('this is not a list of manifests');
  return list.flatMap((each) => parseManifests(JSON.stringify(each)));
}
