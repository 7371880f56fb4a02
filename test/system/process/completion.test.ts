import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { onTerminal } from '../../fixtures/processes/on-terminal.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const TAB = '\t';
const RETURN = '\r';
const SHELLS = {
  bash: { start: ['bash', '--norc', '--noprofile', '-i'], load: 'source completion' },
  zsh: {
    start: ['zsh', '-f', '-i'],
    load: 'autoload -Uz compinit; compinit -D -u; source ./completion',
  },
  fish: { start: ['fish', '--no-config', '-i'], load: 'source completion' },
} as const;

it.each(['bash', 'zsh', 'fish'] as const)(
  'a shell completes commands, flags, words and file names: %s',
  { timeout: 60_000 },
  async (shell) => {
    if (spawnSync(shell, ['-c', 'true']).status !== 0) return;
    const folder = temporaryFolder();
    const script = await run(['completion', shell]);
    writeFileSync(join(folder, 'completion'), script.output);
    writeFileSync(join(folder, 'my settings.yaml'), '');
    // A program that says what it was given stands in for mnist-dist.
    const program = join(folder, 'bin', 'mnist-dist');
    mkdirSync(join(folder, 'bin'));
    writeFileSync(program, `#!/bin/sh\nprintf 'ran'\nprintf ' <%s>' "$@"\necho .\n`);
    chmodSync(program, 0o755);
    const { start, load } = SHELLS[shell];
    const terminal = onTerminal(start, folder, {
      HOME: folder,
      TERM: 'xterm',
      PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
    });
    terminal.type(`${load}; echo "is ""ready"${RETURN}`);
    await terminal.says(/is ready/);
    for (const [typed, given] of [
      ['eva', '<eval>'],
      // zsh appends an equals sign to the name of an option with a value.
      [`eval --form${TAB}js`, '<eval> <--format(?:> <|=)json>'],
      ['eval --format=te', '<eval> <--format=text>'],
      [`local --no-htt${TAB}--config m`, '<local> <--no-http> <--config> <my settings.yaml>'],
      ['predict my', '<predict> <my settings.yaml>'],
      ['local -n au', '<local> <-n> <auto>'],
    ] as const) {
      terminal.type(`mnist-dist ${typed}${TAB}`);
      terminal.type(RETURN);
      await terminal.says(new RegExp(`ran ${given}\\.`));
    }
    terminal.close();
    await terminal.exited;
  },
);

it('rejects the name of another shell', async () => {
  const { code, output } = await run(['completion', 'zshh']);
  expect(code).toBe(2);
  expect(output).toContain('did you mean zsh? Allowed: bash, zsh, fish, config');
});
