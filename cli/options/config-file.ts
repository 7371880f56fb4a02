import type { Stats } from 'node:fs';
import { checkSecretMode } from '../secrets/secret-file.ts';
import { libraries } from '../libraries.ts';
import { readNamedNow } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_CONFIG_FILE_BYTES } from '../../shared/limits.ts';
import { shortened } from '../terminal/styled-line.ts';
import type { OptionKey } from './options.ts';
import { kebab, keyOfName, namesOf, optionKeys, optionOf } from './options.ts';
import type { Given } from './origin.ts';
import { givenByFile } from './origin.ts';
import { afterSuggestion, didYouMean } from './suggest.ts';
import { normalized, optionSynonyms, synonymOf } from './synonyms.ts';

/**
 * Reads a configuration file: a flat YAML map from option names to scalars or lists of scalars.
 * Values are kept as written for the option's own parser, so that no number loses precision. Throws
 * USAGE, also if other users can read or change a file with a join string.
 */
export function readConfigFile(file: string): Map<OptionKey, Given> {
  const { text, stat } = readText(file);
  const given = parseConfig(text, file);
  // "-" reads the join string from stdin.
  if ((given.get('join')?.text ?? '-') !== '-') checkSecretMode(file, 'join', stat);
  return given;
}

/** Parses the text of a configuration file; `file` is its name in errors. */
export function parseConfig(text: string, file: string): Map<OptionKey, Given> {
  const { LineCounter, isMap, isScalar, parseDocument } = libraries.yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    strict: true,
  });
  const positionOf = (offset: number | undefined) => `${file}:${lines.linePos(offset ?? 0).line}`;

  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) {
    if (problem.code === 'DUPLICATE_KEY')
      throw refused(positionOf(problem.pos[0]), 'duplicate key', 'keep one of them');
    if (problem.code === 'MULTIPLE_DOCS')
      throw refused(
        positionOf(problem.pos[0]),
        'a configuration file is one YAML document',
        'delete the line "---" and what follows it, or move it to a file of its own',
      );
    throw refused(
      positionOf(problem.pos[0]),
      problem.message,
      'write YAML, one "name: value" per line',
    );
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return new Map();
  if (!isMap(root))
    throw refused(
      positionOf(root.range?.[0]),
      'not a map of options',
      'write one "name: value" per line',
    );

  const found = new Map<OptionKey, Given>();
  for (const { key, value } of root.items) {
    if (!isScalar(key))
      throw refused(file, 'a key that is not a name', 'write one "name: value" per line');
    const name = String(key.value);
    const at = positionOf(key.range?.[0]);
    const option = optionNamed(name, at);
    if (found.has(option))
      throw refused(
        at,
        `${name}: the same option is set twice, under two names`,
        'keep one of them',
      );
    found.set(option, givenByFile(at, name, valueText(value, name, at)));
  }
  return found;
}

function optionNamed(name: string, at: string): OptionKey {
  const key = keyOfName(name);
  if (key === 'config')
    throw refused(
      at,
      'a configuration file cannot refer to another one (config)',
      'pass --config FILE as a flag',
    );
  if (key !== undefined) return key;
  const names = optionKeys.flatMap(namesOf);
  const synonym = synonymOf(name, optionSynonyms);
  const off = /^--no-([a-z0-9-]+)$/.exec(synonym ?? `--${normalized(name)}`)?.[1];
  const switched = off === undefined ? undefined : keyOfName(off);
  const meant = synonym?.replace(/^--(?:no-)?([a-z0-9-]+).*$/, '$1');
  // Only a switch has no value, and so no name for it.
  if (switched !== undefined && optionOf(switched).type.metavar === undefined)
    throw refused(at, unknownKey(name), `write "${kebab(switched)}: false" to switch it off`);
  throw refused(
    at,
    unknownKey(name),
    afterSuggestion(
      didYouMean(normalized(name), names, meant),
      'a key is a flag without its dashes',
    ),
  );
}

function unknownKey(name: string): string {
  return `the key "${shortened(name, 80)}" is unknown`;
}

function valueText(node: unknown, name: string, at: string): string {
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

/** Reads the file, which may be a pipe. */
function readText(file: string): { text: string; stat: Stats } {
  let bytes: Uint8Array;
  let stat: Stats;
  try {
    ({ bytes, stat } = readNamedNow(file, {
      name: 'MAX_CONFIG_FILE_BYTES',
      bytes: MAX_CONFIG_FILE_BYTES,
    }));
  } catch (error) {
    throw new ClusterError(
      'USAGE',
      `the configuration file ${file} cannot be read: ${messageOf(error)}`,
      {
        fix: 'set --config to a readable YAML file',
        cause: error,
      },
    );
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

function refused(at: string, what: string, fix: string): ClusterError {
  return new ClusterError('USAGE', `${at}: ${what}`, { fix });
}
