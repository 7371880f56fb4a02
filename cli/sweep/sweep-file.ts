import { basename, extname } from 'node:path';
import type { YAMLMap } from 'yaml';
import { libraries } from '../libraries.ts';
import { MAX_TRIALS, MAX_VARIED_OPTIONS, MAX_VARIED_VALUES } from '../../shared/limits/sweep.ts';
import { optionNamed, optionsIn } from '../options/config-file.ts';
import { kebab, optionOf, type OptionKey } from '../options/options.ts';
import { givenByFile, parseGiven, type Given } from '../options/origin.ts';
import { afterSuggestion, didYouMean } from '../options/suggest.ts';
import { integer, type ValueType } from '../options/value-types.ts';
import {
  parseYaml,
  readYamlText,
  refused,
  valueText,
  type YamlFile,
} from '../options/yaml-file.ts';
import { shortened } from '../terminal/styled-line.ts';
import { checkKey } from './sweep-keys.ts';

/** What a sweep file describes. */
export interface SweepFile {
  readonly file: string;
  readonly search: Search;
  /** The options of all trials. */
  readonly options: ReadonlyMap<OptionKey, Given>;
  /** The options that differ between trials, in the order of the file. */
  readonly vary: readonly Varied[];
}

export type Search =
  | { readonly kind: 'grid' }
  | { readonly kind: 'random'; readonly trials: number; readonly seed: number };

export interface Varied {
  readonly key: OptionKey;
  /** The option's main name, and `FILE:LINE`. */
  readonly name: string;
  readonly at: string;
  readonly from: readonly Given[] | ValueRange;
}

/** Values between two limits, which a random search draws. */
export interface ValueRange {
  readonly low: number;
  readonly high: number;
  readonly isLogarithmic: boolean;
  /** Whether the option takes whole numbers only. */
  readonly isWhole: boolean;
}

const searches = ['grid', 'random'] as const;
const keys = ['search', 'trials', 'seed', 'options', 'vary'] as const;
type Key = (typeof keys)[number];
const rangeKeys = ['from', 'to', 'scale'] as const;
const scales = ['linear', 'log'] as const;
const FORM = 'write one "name: value" per line: search, options and vary';

/** Reads a sweep file. Throws USAGE with the file, the line and what is allowed. */
export function readSweepFile(file: string): SweepFile {
  const fix = 'name a readable YAML file; `mnist-dist sweep --help` shows an example';
  return parseSweepFile(readYamlText(file, { what: 'the sweep file', fix }).text, file);
}

/** The name of a sweep without --run-id: its file's name without the ending. */
export function sweepNameOf(file: string): string {
  return basename(file, extname(file));
}

export function parseSweepFile(text: string, file: string): SweepFile {
  const yaml = parseYaml(text, file, { what: 'a sweep file', form: FORM });
  const { root, positionOf } = yaml;
  if (root === undefined) throw refused(file, 'the file is empty', FORM);
  const entries = new Map<Key, { readonly node: unknown; readonly at: string }>();
  for (const { key, value } of root.items) {
    const at = positionOf(key);
    const name = libraries.yaml().isScalar(key) ? String(key.value) : '';
    entries.set(wordOf(name, keys, at, 'the key'), { node: value, at });
  }
  const search = searchOf(entries);
  const common = mapOf(entries.get('options'), 'options');
  const options =
    common === undefined ? new Map<OptionKey, Given>() : optionsIn(common, file, positionOf);
  for (const { key } of common?.items ?? [])
    checkKey(optionNamed(String(key), positionOf(key)), 'options', positionOf(key));
  for (const [key, given] of options) parseGiven(key, given);
  const varied = mapOf(entries.get('vary'), 'vary');
  if (varied === undefined || varied.items.length === 0)
    throw refused(
      entries.get('vary')?.at ?? file,
      'no option is varied',
      'add "vary:" with one "option: [value, value]" per line',
    );
  const vary = variedOf(varied, search, yaml, options);
  return { file, search, options, vary };
}

function searchOf(
  entries: ReadonlyMap<Key, { readonly node: unknown; readonly at: string }>,
): Search {
  const number = (key: 'trials' | 'seed', type: ValueType<number>): number | undefined => {
    const entry = entries.get(key);
    if (entry === undefined) return undefined;
    const text = valueText(entry.node, key, entry.at);
    const value = type.parse(text);
    if (value !== undefined) return value;
    const shown = shortened(text, 40);
    throw refused(entry.at, `${key}: ${shown} is not allowed`, `allowed: ${type.allowed}`);
  };
  const trials = number('trials', integer({ min: 1, max: MAX_TRIALS }));
  const seed = number('seed', integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));
  const entry = entries.get('search');
  const kind =
    entry === undefined
      ? 'grid'
      : wordOf(valueText(entry.node, 'search', entry.at), searches, entry.at, 'search:');
  if (kind === 'random') {
    if (trials === undefined)
      throw refused(
        entry?.at ?? '',
        'a random search needs a number of trials',
        'add "trials: 12"',
      );
    return { kind, trials, seed: seed ?? 1 };
  }
  for (const key of ['trials', 'seed'] as const) {
    const { at } = entries.get(key) ?? {};
    if (at !== undefined)
      throw refused(
        at,
        `${key} belongs to a random search: a grid has a trial for each combination`,
        'delete the line, or add "search: random"',
      );
  }
  return { kind };
}

function variedOf(
  map: YAMLMap,
  search: Search,
  { positionOf }: YamlFile,
  options: ReadonlyMap<OptionKey, Given>,
): Varied[] {
  const found = new Map<OptionKey, Varied>();
  for (const { key: node, value } of map.items) {
    const at = positionOf(node);
    const name = libraries.yaml().isScalar(node) ? String(node.value) : '';
    const key = optionNamed(name, at);
    checkKey(key, 'vary', at);
    if (options.has(key) || found.has(key))
      throw refused(at, `${name}: the same option is set twice`, 'keep one of them');
    const named = { key, name: kebab(key), at };
    found.set(key, { ...named, from: valuesOf(value, named, search, positionOf) });
  }
  if (found.size > MAX_VARIED_OPTIONS)
    throw refused(
      positionOf(map),
      `${found.size} options are varied, more than ${MAX_VARIED_OPTIONS} (MAX_VARIED_OPTIONS)`,
      'vary fewer options',
    );
  return [...found.values()];
}

type Named = Pick<Varied, 'key' | 'name' | 'at'>;

function valuesOf(
  node: unknown,
  { key, name, at }: Named,
  search: Search,
  positionOf: YamlFile['positionOf'],
): readonly Given[] | ValueRange {
  const { isMap, isSeq } = libraries.yaml();
  if (isMap(node)) {
    if (search.kind === 'grid')
      throw refused(
        at,
        `${name}: a grid has no values between two limits`,
        'list the values, such as [0.001, 0.002], or add "search: random"',
      );
    return rangeOf(node, { key, name, at }, positionOf);
  }
  if (!isSeq(node) || node.items.length === 0)
    throw refused(
      at,
      `${name} has no list of values`,
      search.kind === 'grid'
        ? `write a list, such as ${name}: [A, B], or move it to "options"`
        : `write a list, such as ${name}: [A, B], or limits: {from: A, to: B, scale: log}`,
    );
  if (node.items.length > MAX_VARIED_VALUES)
    throw refused(
      at,
      `${name} has ${node.items.length} values, more than ${MAX_VARIED_VALUES} (MAX_VARIED_VALUES)`,
      'list fewer values',
    );
  const seen = new Set<string>();
  return node.items.map((item) => {
    const place = positionOf(item);
    const given = givenByFile(place, name, valueText(item, name, place));
    const { type } = optionOf(key);
    const text = type.format(parseGiven(key, given) ?? '');
    if (seen.has(text)) throw refused(place, `${name} has ${text} twice`, 'keep one of them');
    seen.add(text);
    return given;
  });
}

function rangeOf(
  node: YAMLMap,
  { key, name, at }: Named,
  positionOf: YamlFile['positionOf'],
): ValueRange {
  const texts = new Map<(typeof rangeKeys)[number], string>();
  for (const { key: each, value } of node.items) {
    const place = positionOf(each);
    const word = libraries.yaml().isScalar(each) ? String(each.value) : '';
    const rangeKey = wordOf(word, rangeKeys, place, `${name}: the key`);
    texts.set(rangeKey, valueText(value, `${name}: ${rangeKey}`, place));
  }
  const limit = (which: 'from' | 'to'): number => {
    const text = texts.get(which);
    if (text === undefined)
      throw refused(at, `${name} has no "${which}"`, 'write {from: A, to: B, scale: linear}');
    parseGiven(key, givenByFile(at, name, text));
    const value = Number(text);
    if (Number.isFinite(value)) return value;
    throw refused(
      at,
      `${name}: "${shortened(text, 40)}" is not a number, so that nothing lies between`,
      `list the values, such as ${name}: [A, B]`,
    );
  };
  const [low, high] = [limit('from'), limit('to')];
  const scale = wordOf(texts.get('scale') ?? 'linear', scales, at, `${name}: scale:`);
  if (low >= high)
    throw refused(
      at,
      `${name}: from ${low} is not below to ${high}`,
      'write the lower limit first',
    );
  if (scale === 'log' && low <= 0)
    throw refused(
      at,
      `${name}: from ${low} has no logarithm`,
      'begin above 0, or use scale: linear',
    );
  return { low, high, isLogarithmic: scale === 'log', isWhole: takesOnlyWhole(key, low, high) };
}

/** Whether the option refuses a number between the limits that is not whole. */
function takesOnlyWhole(key: OptionKey, low: number, high: number): boolean {
  const between = low + (high - low) * 0.414_213;
  return optionOf(key).type.parse(String(between)) === undefined;
}

function mapOf(
  entry: { readonly node: unknown; readonly at: string } | undefined,
  name: string,
): YAMLMap | undefined {
  if (entry === undefined) return undefined;
  const { isMap, isScalar } = libraries.yaml();
  const { node, at } = entry;
  if (isMap(node)) return node;
  if (node === null || (isScalar(node) && node.value === null)) return undefined;
  throw refused(at, `${name} is not a map of options`, 'write one "name: value" per line below it');
}

/** The word, which must be one of these. Throws USAGE with the nearest one. */
function wordOf<W extends string>(text: string, words: readonly W[], at: string, what: string): W {
  const word = words.find((each) => each === text);
  if (word !== undefined) return word;
  const shown = shortened(text, 40);
  throw refused(
    at,
    `${what} "${shown}" is unknown`,
    afterSuggestion(didYouMean(text, words), `allowed: ${words.join(', ')}`),
  );
}
