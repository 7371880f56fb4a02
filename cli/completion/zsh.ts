import type { CompletedCommand, CompletedOption, CompletedValue } from './completed.ts';
import { flagsOf } from './completed.ts';

/** A script that completes the words of `mnist-dist` in zsh. */
export function zshScript(commands: readonly CompletedCommand[]): string {
  return [
    '#compdef mnist-dist',
    '# Completes the words of mnist-dist in zsh. To use it, source it after compinit, or write it',
    '# into a file called _mnist-dist in a folder of fpath.',
    '_mnist-dist() {',
    '  if ((CURRENT == 2)); then',
    '    local -a commands=(',
    ...commands.map(({ name, summary }) => `      ${quoted(`${name}:${summary}`)}`),
    '    )',
    "    _describe command commands -- '(-h --help -V --version)'",
    '    return',
    '  fi',
    '  local command=$words[2]',
    '  shift words',
    '  ((CURRENT--))',
    '  case $command in',
    ...commands.flatMap(argumentsOf),
    '  esac',
    '}',
    'if [[ $funcstack[1] == _mnist-dist ]]; then',
    '  _mnist-dist "$@"',
    'else',
    '  compdef _mnist-dist mnist-dist',
    'fi',
    '',
  ].join('\n');
}

function argumentsOf({ name, operand, options }: CompletedCommand): string[] {
  const specifications = [
    ...options.flatMap(optionSpecifications),
    ...(operand === 'text' ? [] : [`*:${name}:${actionOf(operand)}`]),
  ];
  return [
    `    ${name})`,
    '      _arguments \\',
    ...specifications.map(
      (text, i) => `        ${quoted(text)}${i === specifications.length - 1 ? '' : ' \\'}`,
    ),
    '      ;;',
  ];
}

function optionSpecifications(option: CompletedOption): string[] {
  const { help, value, isOptional } = option;
  const flags = flagsOf(option);
  const others = flags.length > 1 ? `(${flags.join(' ')})` : '';
  const explained = `[${help.replaceAll(/[[\]\\]/g, String.raw`\$&`)}]`;
  return flags.map((flag) => {
    if (value === undefined) return `${others}${flag}${explained}`;
    const assigned = flag.startsWith('--') ? `${flag}=` : flag;
    const colon = isOptional ? '::' : ':';
    return `${others}${assigned}${explained}${colon}${option.names[0]}:${actionOf(value)}`;
  });
}

function actionOf(value: CompletedValue): string {
  if (value === 'text') return ' ';
  return value === 'file'
    ? '_files'
    : `(${value.map((word) => word.replaceAll(':', String.raw`\:`)).join(' ')})`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
