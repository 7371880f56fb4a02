import type { YAMLMap, YAMLError } from 'yaml';
import { libraries } from '../libraries.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { Layer, Size } from '../../shared/arithmetic/model-shape.ts';
import * as limits from '../../shared/limits/model.ts';
import { afterSuggestion, didYouMean } from '../options/suggest.ts';
import { shortened } from '../terminal/styled-line.ts';

/** A model that a YAML file describes, with the line of each layer. */
export interface ParsedModel {
  readonly layers: readonly Layer[];
  readonly lines: readonly number[];
}

/** The settings of each kind of layer, with Keras' names. */
const settingNames: Readonly<Record<Layer['kind'], readonly string[]>> = {
  conv2d: ['filters', 'kernel_size', 'strides', 'padding', 'activation'],
  max_pooling2d: ['pool_size', 'strides', 'padding'],
  average_pooling2d: ['pool_size', 'strides', 'padding'],
  flatten: [],
  dense: ['units', 'activation'],
  dropout: ['rate'],
};
const kinds = Object.keys(settingNames).filter(isKind);

/** Other names for layers and their settings. */
const synonyms: Readonly<Record<string, string>> = {
  conv: 'conv2d',
  convolution: 'conv2d',
  convolution2d: 'conv2d',
  maxpool: 'max_pooling2d',
  maxpool2d: 'max_pooling2d',
  max_pool2d: 'max_pooling2d',
  avgpool: 'average_pooling2d',
  avgpool2d: 'average_pooling2d',
  avg_pool2d: 'average_pooling2d',
  linear: 'dense',
  fc: 'dense',
  kernel: 'kernel_size',
  pool: 'pool_size',
  out_channels: 'filters',
  p: 'rate',
};

/**
 * Parses a list of layers in YAML, with Keras' names and defaults. Throws USAGE with the file, the
 * line, the layer, the value and what is allowed. `file` is the file's name in errors.
 */
export function parseModel(text: string, file: string): ParsedModel {
  const { LineCounter, isSeq, parseDocument } = libraries.yaml();
  // YAML allows none, but the parser accepts one in a comment; `local` passes the text in an
  // environment variable, which cannot contain one.
  const nul = text.indexOf('\0');
  if (nul >= 0)
    throw refused(
      `${file}:${text.slice(0, nul).split('\n').length}`,
      'a NUL character',
      'delete it, or save the file as text in UTF-8',
    );
  const counter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: counter,
    prettyErrors: false,
    uniqueKeys: true,
    strict: true,
  });
  const lineOf = (node: unknown) => counter.linePos(startOf(node)).line;
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined)
    throw refused(`${file}:${counter.linePos(problem.pos[0]).line}`, messageFor(problem), EXAMPLE);
  const root = document.contents;
  if (!isSeq(root)) throw refused(`${file}:${lineOf(root)}`, 'not a list of layers', EXAMPLE);
  if (root.items.length > limits.MAX_LAYERS)
    throw refused(
      `${file}:${lineOf(root.items[limits.MAX_LAYERS])}`,
      `${root.items.length} layers`,
      `allowed: at most ${limits.MAX_LAYERS} layers (MAX_LAYERS)`,
    );
  return {
    layers: root.items.map((item, index) => layerOf(item, index, file, lineOf)),
    lines: root.items.map(lineOf),
  };
}

const EXAMPLE = 'write one layer per line, such as "- conv2d: {filters: 32, kernel_size: 3}"';

function messageFor({ code, message }: YAMLError): string {
  if (code === 'DUPLICATE_KEY') return 'duplicate key';
  return code === 'MULTIPLE_DOCS' ? 'a model file is one YAML document' : message;
}

function layerOf(
  node: unknown,
  index: number,
  file: string,
  lineOf: (node: unknown) => number,
): Layer {
  const { isMap, isScalar } = libraries.yaml();
  const at = `${file}:${lineOf(node)}`;
  const nth = `layer ${index + 1}`;
  const [pair, second] = isMap(node) ? node.items : [];
  const name = isScalar(node) ? node : isScalar(pair?.key) ? pair.key : undefined;
  if (name === undefined) throw refused(at, `${nth} is an alias, a list or has no name`, EXAMPLE);
  if (second !== undefined)
    throw refused(at, `${nth} has ${isMap(node) ? node.items.length : 2} names`, EXAMPLE);
  const kind = String(name.value);
  if (!isKind(kind))
    throw refused(
      at,
      `${nth}: the layer "${shortened(kind, 80)}" is unknown`,
      suggestion(kind, kinds, 'allowed'),
    );
  const value: unknown = pair?.value ?? null;
  const isEmpty = value === null || (isScalar(value) && value.value === null);
  if (!isEmpty && !isMap(value))
    throw refused(
      `${file}:${lineOf(value)}`,
      `${nth} (${kind}) has a value instead of settings`,
      `write the settings with their names: ${settingNames[kind].join(', ') || 'none'}`,
    );
  const subject = `${nth} (${kind})`;
  return read(
    kind,
    new Settings(isMap(value) ? value : undefined, { kind, subject, file, at, lineOf }),
  );
}

function read(kind: Layer['kind'], settings: Settings): Layer {
  switch (kind) {
    case 'conv2d':
      return {
        kind,
        filters: settings.count('filters', limits.MAX_FILTERS, 'MAX_FILTERS'),
        kernel: settings.size('kernel_size'),
        strides: settings.size('strides', [1, 1]),
        padding: settings.word('padding', ['valid', 'same']),
        activation: settings.word('activation', ['linear', 'relu']),
      };
    case 'max_pooling2d':
    case 'average_pooling2d': {
      const pool = settings.size('pool_size', [2, 2]);
      return {
        kind,
        pool,
        strides: settings.size('strides', pool),
        padding: settings.word('padding', ['valid', 'same']),
      };
    }
    case 'flatten':
      return { kind };
    case 'dense':
      return {
        kind,
        units: settings.count('units', limits.MAX_LAYER_UNITS, 'MAX_LAYER_UNITS'),
        activation: settings.word('activation', ['linear', 'relu']),
      };
    case 'dropout':
      return { kind, rate: settings.rate('rate') };
  }
}

interface Place {
  readonly kind: Layer['kind'];
  /** "layer 2 (dense)". */
  readonly subject: string;
  readonly file: string;
  /** The file and the line of the layer. */
  readonly at: string;
  readonly lineOf: (node: unknown) => number;
}

/** The settings of one layer. */
class Settings {
  readonly #values = new Map<string, unknown>();
  /** Where the names without a value are. */
  readonly #valueless = new Map<string, string>();
  readonly #place: Place;

  constructor(map: YAMLMap | undefined, place: Place) {
    const { isScalar } = libraries.yaml();
    this.#place = place;
    const known = settingNames[place.kind];
    for (const { key, value } of map?.items ?? []) {
      const name = isScalar(key) ? String(key.value) : '';
      if (!known.includes(name))
        throw refused(
          `${place.file}:${place.lineOf(key)}`,
          `${place.subject} has no setting "${shortened(name, 80)}"`,
          suggestion(name, known, 'its settings'),
        );
      // A name without a value is missing.
      if (value === null || (isScalar(value) && value.value === null))
        this.#valueless.set(name, `${place.file}:${place.lineOf(key)}`);
      else this.#values.set(name, value);
    }
  }

  count(name: string, max: number, limit: string): number {
    const value = this.#number(name);
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw this.#notAllowed(name, `a whole number from 1 to ${max} (${limit})`);
  }

  rate(name: string): number {
    const value = this.#number(name);
    if (value >= 0 && value < 1) return value;
    throw this.#notAllowed(name, 'a number of at least 0 and below 1');
  }

  /** A whole number, or a list of two: height and width. */
  size(name: string, otherwise?: Size): Size {
    const { isSeq } = libraries.yaml();
    const node = this.#values.get(name);
    if (node === undefined && otherwise !== undefined) return otherwise;
    const max = limits.MAX_WINDOW_CELLS;
    const [height = NaN, width = NaN, more] = isSeq(node)
      ? node.items.map(numberOf)
      : [this.#number(name), this.#number(name)];
    const isAllowed = (cells: number) => Number.isInteger(cells) && cells >= 1 && cells <= max;
    if (isAllowed(height) && isAllowed(width) && more === undefined) return [height, width];
    throw this.#notAllowed(
      name,
      `a whole number from 1 to ${max} (MAX_WINDOW_CELLS), or two of them: [height, width]`,
    );
  }

  /** One of the words; the first one is the default. */
  word<const W extends string>(name: string, words: readonly [W, ...W[]]): W {
    const node = this.#values.get(name);
    if (node === undefined) return words[0];
    const text = libraries.yaml().isScalar(node) ? node.value : undefined;
    const found = words.find((word) => word === text);
    if (found !== undefined) return found;
    throw this.#notAllowed(name, words.join(' or '), didYouMean(String(text), words));
  }

  #number(name: string): number {
    const node = this.#values.get(name);
    if (node !== undefined) return numberOf(node);
    const { at, subject } = this.#place;
    throw refused(
      this.#valueless.get(name) ?? at,
      `${subject} has no ${name}`,
      `add it, such as "${name}: ${EXAMPLES[name]}"`,
    );
  }

  #notAllowed(name: string, allowed: string, meant = ''): ClusterError {
    const { file, subject, lineOf } = this.#place;
    const node = this.#values.get(name);
    const at = `${file}:${lineOf(node)}`;
    return refused(
      at,
      `${subject}: ${name} ${shownValue(node)} is not allowed`,
      afterSuggestion(meant, `allowed: ${allowed}`),
    );
  }
}

const EXAMPLES: Readonly<Record<string, string>> = {
  filters: '32',
  kernel_size: '3',
  units: '128',
  rate: '0.5',
};

/** The number in a node; NaN if it contains none. */
function numberOf(node: unknown): number {
  const value = libraries.yaml().isScalar(node) ? node.value : undefined;
  return typeof value === 'number' ? value : NaN;
}

function shownValue(node: unknown): string {
  const { isAlias, isScalar } = libraries.yaml();
  if (isAlias(node)) return `*${shortened(node.source, 80)} (an alias)`;
  if (!isScalar(node)) return '(a list or a map)';
  return shortened(node.source ?? JSON.stringify(node.value), 80);
}

function suggestion(text: string, names: readonly string[], what: string): string {
  const known = synonyms[text.toLowerCase()];
  const fix = names.length === 0 ? 'it has no settings' : `${what}: ${names.join(', ')}`;
  return afterSuggestion(
    didYouMean(text, names, known !== undefined && names.includes(known) ? known : undefined),
    fix,
  );
}

function isKind(text: string): text is Layer['kind'] {
  return Object.hasOwn(settingNames, text);
}

function startOf(node: unknown): number {
  return libraries.yaml().isNode(node) ? (node.range?.[0] ?? 0) : 0;
}

function refused(at: string, what: string, fix: string): ClusterError {
  return new ClusterError('USAGE', `${at}: ${what}`, { fix });
}
