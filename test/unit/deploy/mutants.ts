import { z } from 'zod';
import {
  asManifest,
  isObject,
  json,
  type Json,
  type Manifest,
} from '../../fixtures/deploy/kustomize.ts';

/** Copies of the manifests, each with one occurrence of the text changed. */
export function replacements(
  manifests: readonly Manifest[],
  right: string,
  wrong: string,
): Manifest[][] {
  const parts = JSON.stringify(manifests).split(right);
  return parts.slice(1).map((_, at) => {
    const [before, after] = [parts.slice(0, at + 1).join(right), parts.slice(at + 1).join(right)];
    return z
      .array(json)
      .parse(JSON.parse(`${before}${wrong}${after}`))
      .map(asManifest);
  });
}

interface Mutant {
  readonly how: 'renamed' | 'retyped' | 'removed';
  /** The changed field, such as /spec/completions. */
  readonly field: string;
  readonly changed: Json;
}

/**
 * The mutations of a manifest that `isWrong` does not notice, such as `removed /spec/completions`,
 * and how many were tried. Each field is renamed, given a value of a different type, and removed.
 */
export function unnoticed(
  manifest: Manifest,
  isWrong: (changed: Manifest) => boolean,
): { tried: number; mutations: string[] } {
  const all = [...mutantsOf(json.parse(manifest), '')];
  const left = all.filter(({ changed }) => !isNoticed(changed, isWrong));
  return { tried: all.length, mutations: left.map(({ how, field }) => `${how} ${field}`) };
}

function isNoticed(changed: Json, isWrong: (changed: Manifest) => boolean): boolean {
  try {
    return isWrong(asManifest(changed));
  } catch {
    // An object without a kind or a name is not a manifest.
    return true;
  }
}

function* mutantsOf(value: Json, at: string): Generator<Mutant> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const field = `${at}/${index}`;
      yield { how: 'retyped', field, changed: value.with(index, ofAnotherType(item)) };
      for (const inner of mutantsOf(item, field))
        yield { ...inner, changed: value.with(index, inner.changed) };
    }
  } else if (isObject(value)) {
    for (const [key, own] of Object.entries(value)) {
      const { [key]: _, ...others } = value;
      const field = `${at}/${key}`;
      yield { how: 'renamed', field, changed: { ...others, [`${key}s`]: own } };
      yield { how: 'retyped', field, changed: { ...value, [key]: ofAnotherType(own) } };
      yield { how: 'removed', field, changed: others };
      for (const inner of mutantsOf(own, field))
        yield { ...inner, changed: { ...value, [key]: inner.changed } };
    }
  }
}

function ofAnotherType(value: Json): Json {
  return typeof value === 'string' ? true : 'wrong';
}
