import type { CompletedCommand, CompletedOption, CompletedValue } from './completed.ts';

/** A script that completes the words of `mnist-dist` in fish. */
export function fishScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  return [
    '# Completes the words of mnist-dist in fish. To use it: mnist-dist completion fish | source',
    'complete -c mnist-dist -f',
    `set -l without "not __fish_seen_subcommand_from ${names}"`,
    ...commands.map(
      ({ name, summary }) => `complete -c mnist-dist -n $without -a ${name} -d ${quoted(summary)}`,
    ),
    "complete -c mnist-dist -n $without -s V -l version -d 'print the version'",
    "complete -c mnist-dist -s h -l help -d 'print help'",
    ...commands.flatMap(commandLines),
    '',
  ].join('\n');
}

function commandLines({ name, operand, options }: CompletedCommand): string[] {
  const start = `complete -c mnist-dist -n '__fish_seen_subcommand_from ${name}'`;
  const operands = {
    text: [],
    file: [`${start} -F`],
    words: [`${start} -a ${quoted(wordsOf(operand))}`],
  }[typeof operand === 'string' ? operand : 'words'];
  return [
    ...operands,
    ...options
      .filter(({ names: [first] }) => first !== 'help')
      .map((option) => `${start} ${optionWords(option)}`),
  ];
}

function optionWords({ names, short, help, value, isOptional }: CompletedOption): string {
  return [
    ...(short === undefined ? [] : [`-s ${short}`]),
    ...names.map((each) => `-l ${each}`),
    ...valueWords(value, isOptional),
    `-d ${quoted(help)}`,
  ].join(' ');
}

function valueWords(value: CompletedValue | undefined, isOptional: boolean): string[] {
  if (value === undefined) return [];
  const required = isOptional ? [] : ['-r'];
  if (value === 'file') return [...required, '-F'];
  return value === 'text' ? ['-x'] : ['-x', `-a ${quoted(wordsOf(value))}`];
}

function wordsOf(value: CompletedValue): string {
  return typeof value === 'string' ? '' : value.join(' ');
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}
