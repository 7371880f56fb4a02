import type { YAMLMap } from 'yaml';
import { checkSecretMode } from '../secrets/secret-file.ts';
import { libraries } from '../libraries.ts';
import { shortened } from '../terminal/styled-line.ts';
import type { OptionKey } from './options.ts';
import { kebab, keyOfName, namesOf, optionKeys, optionOf } from './options.ts';
import type { Given } from './origin.ts';
import { givenByFile } from './origin.ts';
import { afterSuggestion, didYouMean } from './suggest.ts';
import { normalized, optionSynonyms, synonymOf } from './synonyms.ts';
import { parseYaml, readYamlText, refused, valueText, type YamlFile } from './yaml-file.ts';

const FORM = 'write one "name: value" per line';

/**
 * Reads a configuration file: a flat YAML map from option names to scalars or lists of scalars.
 * Values are kept as written for the option's own parser, so that no number loses precision. Throws
 * USAGE, also if other users can read or change a file with a join string.
 */
export function readConfigFile(file: string): Map<OptionKey, Given> {
  const { text, stat } = readYamlText(file, {
    what: 'the configuration file',
    fix: 'set --config to a readable YAML file',
  });
  const given = parseConfig(text, file);
  // "-" reads the join string from stdin.
  if ((given.get('join')?.text ?? '-') !== '-') checkSecretMode(file, 'join', stat);
  return given;
}

/** Parses the text of a configuration file; `file` is its name in errors. */
export function parseConfig(text: string, file: string): Map<OptionKey, Given> {
  const wanted = { what: 'a configuration file', form: FORM };
  const { root, positionOf } = parseYaml(text, file, wanted);
  return root === undefined ? new Map<OptionKey, Given>() : optionsIn(root, file, positionOf);
}

/** The options that a map of a YAML file sets. Throws USAGE for an unknown key. */
export function optionsIn(
  map: YAMLMap,
  file: string,
  positionOf: YamlFile['positionOf'],
): Map<OptionKey, Given> {
  const found = new Map<OptionKey, Given>();
  for (const { key, value } of map.items) {
    if (!libraries.yaml().isScalar(key)) throw refused(file, 'a key that is not a name', FORM);
    const name = String(key.value);
    const at = positionOf(key);
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

/** The option that a key of a YAML file names. Throws USAGE for an unknown key. */
export function optionNamed(name: string, at: string): OptionKey {
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
