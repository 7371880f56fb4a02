import { describe, expect, it } from 'vitest';
import { bashScript } from '../../../../cli/completion/bash.ts';
import { completedCommands, flagsOf } from '../../../../cli/completion/completed.ts';
import { fishScript } from '../../../../cli/completion/fish.ts';
import { zshScript } from '../../../../cli/completion/zsh.ts';
import { commandNames, commandTable } from '../../../../cli/command-table.ts';

const commands = completedCommands(commandNames.map((name) => ({ ...commandTable[name], name })));

describe('completion', () => {
  it('knows every command, and what its operands are', () => {
    expect(commands.map(({ name }) => name)).toEqual(commandNames);
    const operands = Object.fromEntries(commands.map(({ name, operand }) => [name, operand]));
    expect(operands).toMatchObject({ eval: 'file', pull: 'file', certs: 'text', local: 'text' });
    expect(operands['completion']).toEqual(['bash', 'zsh', 'fish', 'config']);
  });

  it('offers to switch off what is on', () => {
    const names = commands.flatMap(({ options }) => options.flatMap((option) => option.names));
    expect(names).toContain('no-http');
    expect(names).not.toContain('http');
    expect(names).toContain('nesterov');
  });

  it.each([
    ['bash', bashScript, (flag: string) => flag],
    ['zsh', zshScript, (flag: string) => flag],
    [
      'fish',
      fishScript,
      (flag: string) => flag.replace(/^--?/, (dashes) => `-${dashes === '--' ? 'l' : 's'} `),
    ],
  ] as const)('has every flag of every command: %s', (_shell, scriptOf, written) => {
    const script = scriptOf(commands);
    for (const command of commands)
      for (const flag of command.options.flatMap(flagsOf)) expect(script).toContain(written(flag));
  });

  it('quotes the texts of the help', () => {
    const option = {
      names: ['it'],
      short: undefined,
      value: undefined,
      isOptional: false,
    } as const;
    const command = {
      name: 'x',
      summary: "it's a [test]: \\",
      operand: 'text',
      options: [{ ...option, help: "don't [do] this: \\" }],
    } as const;
    expect(zshScript([command])).toContain(String.raw`'x:it'\''s a [test]: \'`);
    expect(zshScript([command])).toContain(String.raw`'--it[don'\''t \[do\] this: \\]'`);
    expect(fishScript([command])).toContain(String.raw`-d 'don\'t [do] this: \\'`);
  });
});
