import type { Stats } from 'node:fs';
import type { YAMLMap } from 'yaml';
import { libraries } from '../libraries.ts';
import { readNamedNow } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_CONFIG_FILE_BYTES } from '../../shared/limits.ts';

/** A YAML document that is a map, or nothing at all. */
export interface YamlFile {
  /** Undefined if the document is empty. */
  readonly root: YAMLMap | undefined;
  /** `FILE:LINE` of a node. */
  readonly positionOf: (node: unknown) => string;
}

export interface Wanted {
  /** What the file is called in errors: "a configuration file". */
  readonly what: string;
  /** How to write it, as a fix: "write one "name: value" per line". */
  readonly form: string;
}

/** Parses the text of a file; `file` is its name in errors. Throws USAGE. */
export function parseYaml(text: string, file: string, { what, form }: Wanted): YamlFile {
  const { LineCounter, isMap, isNode, isScalar, parseDocument } = libraries.yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    strict: true,
  });
  const lineOf = (offset: number | undefined) => `${file}:${lines.linePos(offset ?? 0).line}`;
  const positionOf = (node: unknown) => lineOf(isNode(node) ? node.range?.[0] : undefined);
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) {
    const at = lineOf(problem.pos[0]);
    if (problem.code === 'DUPLICATE_KEY') throw refused(at, 'duplicate key', 'keep one of them');
    if (problem.code === 'MULTIPLE_DOCS')
      throw refused(
        at,
        `${what} is one YAML document`,
        'delete the line "---" and what follows it, or move it to a file of its own',
      );
    throw refused(at, problem.message, form.replace(/^write /, 'write YAML, '));
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null))
    return { root: undefined, positionOf };
  if (!isMap(root)) throw refused(positionOf(root), 'not a map of options', form);
  return { root, positionOf };
}

/** The text of a value, or of a list's items with commas between them, as written. */
export function valueText(node: unknown, name: string, at: string): string {
  const items = libraries.yaml().isSeq(node) ? node.items : [node];
  return items.map((item) => scalarText(item, name, at)).join(',');
}

function scalarText(node: unknown, name: string, at: string): string {
  if (!libraries.yaml().isScalar(node)) {
    throw refused(
      at,
      `the value of ${name} is nested or is an alias`,
      'write a single value, or a list such as [256, 128]',
    );
  }
  if (node.value === null)
    throw refused(at, `${name} has no value`, 'add a value, or delete the line');
  return node.source ?? JSON.stringify(node.value);
}

/** Reads the file, which may be a pipe; `fix` says what to do if it cannot be read. */
export function readYamlText(
  file: string,
  { what, fix }: { readonly what: string; readonly fix: string },
): { text: string; stat: Stats } {
  let bytes: Uint8Array;
  let stat: Stats;
  try {
    ({ bytes, stat } = readNamedNow(file, {
      name: 'MAX_CONFIG_FILE_BYTES',
      bytes: MAX_CONFIG_FILE_BYTES,
    }));
  } catch (error) {
    throw new ClusterError('USAGE', `${what} ${file} cannot be read: ${messageOf(error)}`, {
      fix,
      cause: error,
    });
  }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes), stat };
  } catch (error) {
    throw new ClusterError('USAGE', `${file}: not UTF-8`, {
      fix: 'save the file as UTF-8',
      cause: error,
    });
  }
}

export function refused(at: string, what: string, fix: string): ClusterError {
  return new ClusterError('USAGE', `${at}: ${what}`, { fix });
}
