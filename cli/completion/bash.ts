import type { CompletedCommand, CompletedOption, CompletedValue } from './completed.ts';
import { allOptions, flagsOf } from './completed.ts';

/** A script that completes the words of `mnist-dist` in bash 4.4 or later. */
export function bashScript(commands: readonly CompletedCommand[]): string {
  const names = commands.map(({ name }) => name);
  return [
    '# Completes the words of mnist-dist in bash. To use it: source <(mnist-dist completion bash)',
    '_mnist_dist() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}',
    '  # bash divides --flag=value at the equals sign.',
    '  if [[ $current == = ]]; then',
    '    current=',
    '  elif [[ $previous == = ]]; then',
    '    previous=${COMP_WORDS[COMP_CWORD - 2]}',
    '  fi',
    '  COMPREPLY=()',
    '  if ((COMP_CWORD == 1)); then',
    `    _mnist_dist_words '${[...names, '--help', '--version'].join(' ')}'`,
    '    return',
    '  fi',
    '  case $previous in',
    ...valueCases(allOptions(commands)),
    '  esac',
    '  if [[ $current == -* ]]; then',
    '    case ${COMP_WORDS[1]} in',
    ...commands.map(
      ({ name, options }) =>
        `      ${name}) _mnist_dist_words '${options.flatMap(flagsOf).join(' ')}' ;;`,
    ),
    '    esac',
    '    return',
    '  fi',
    '  case ${COMP_WORDS[1]} in',
    ...commands.flatMap(({ name, operand }) =>
      operand === 'text' ? [] : [`    ${name}) ${offer(operand)} ;;`],
    ),
    '  esac',
    '}',
    '_mnist_dist_words() {',
    '  mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current")',
    '}',
    '_mnist_dist_files() {',
    '  compopt -o filenames 2> /dev/null',
    '  mapfile -t COMPREPLY < <(compgen -f -- "$current")',
    '}',
    'complete -F _mnist_dist mnist-dist',
    '',
  ].join('\n');
}

/** The cases of options that take a value, where `previous` is their flag. */
function valueCases(options: readonly CompletedOption[]): string[] {
  const withText = options.filter(({ value }) => value === 'text').flatMap(flagsOf);
  return [
    ...options.flatMap((option) => {
      const { value, isOptional } = option;
      if (value === undefined || value === 'text') return [];
      const flags = flagsOf(option).join(' | ');
      if (!isOptional) return [`    ${flags}) ${offer(value)}; return ;;`];
      return [`    ${flags}) if [[ $current != -* ]]; then ${offer(value)}; return; fi ;;`];
    }),
    `    ${withText.join(' | ')}) return ;;`,
  ];
}

function offer(value: Exclude<CompletedValue, 'text'>): string {
  return value === 'file' ? '_mnist_dist_files' : `_mnist_dist_words '${value.join(' ')}'`;
}
