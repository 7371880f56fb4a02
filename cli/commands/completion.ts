import { ClusterError } from '../../shared/errors.ts';
import { bashScript } from '../completion/bash.ts';
import { completedCommands, type DescribedCommand } from '../completion/completed.ts';
import { completionTargets, type CompletionTarget } from '../completion/completion-targets.ts';
import { configSchema } from '../completion/config-schema.ts';
import { fishScript } from '../completion/fish.ts';
import { zshScript } from '../completion/zsh.ts';
import type { CommandLine } from '../options/options.ts';
import { afterSuggestion, didYouMean } from '../options/suggest.ts';
import { stdout } from '../terminal/output.ts';

/** `mnist-dist completion`: prints what a shell or an editor needs to complete names. */
export function completion(
  { operands: [name = ''] }: Pick<CommandLine, 'operands'>,
  commands: readonly DescribedCommand[],
): Promise<number> {
  const target = completionTargets.find((each) => each === name);
  if (target === undefined)
    throw new ClusterError('USAGE', `completion for ${name} does not exist`, {
      fix: afterSuggestion(
        didYouMean(name, completionTargets),
        `allowed: ${completionTargets.join(', ')}`,
      ),
    });
  stdout.program(textOf(target, commands));
  return Promise.resolve(0);
}

function textOf(target: CompletionTarget, commands: readonly DescribedCommand[]): string {
  switch (target) {
    case 'bash':
      return bashScript(completedCommands(commands));
    case 'zsh':
      return zshScript(completedCommands(commands));
    case 'fish':
      return fishScript(completedCommands(commands));
    case 'config':
      return `${JSON.stringify(configSchema(), undefined, 2)}\n`;
  }
}
