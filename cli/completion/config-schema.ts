import { kebab, namesOf, optionKeys, optionOf, type OptionKey } from '../options/options.ts';

/** The JSON Schema of a configuration file (--config), for editors: names, defaults and help. */
export function configSchema(): object {
  const keys = optionKeys.filter((key) => key !== 'config');
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Configuration file of mnist-dist (--config)',
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(keys.flatMap(propertiesOf)),
  };
}

function propertiesOf(key: OptionKey): [string, object][] {
  const { type, help, defaultText, commands } = optionOf(key);
  const home = commands === 'all' ? 'all commands' : commands.join(', ');
  const property = {
    ...typeOf(type),
    description: `${help} (${home}). Allowed: ${type.allowed}`,
    ...(defaultText === undefined ? {} : { default: scalarOf(defaultText) }),
  };
  return namesOf(key).map((name) => [
    name,
    name === kebab(key) ? property : { ...property, description: `the same as ${kebab(key)}` },
  ]);
}

function typeOf({ metavar, words }: { metavar: string | undefined; words: readonly string[] }) {
  if (metavar === undefined) return { type: 'boolean' };
  if (metavar === words.join('|')) return { enum: [...words] };
  // A list stands for its values with commas between them.
  const scalar = ['string', 'number'];
  return { type: [...scalar, 'array'], items: { type: scalar } };
}

function scalarOf(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}
