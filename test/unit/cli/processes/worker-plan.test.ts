import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { workerArguments } from '../../../../cli/processes/worker-plan.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { DEFAULT_MAX_WAIT_SECONDS } from '../../../../shared/limits.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

/** The options of a worker that this command starts in this environment. */
function workerOptions(line: readonly string[], environment: Record<string, string>) {
  const command = parseCommand(line, environment, '1.2.3');
  if (command.command !== 'local' && command.command !== 'verify' && command.command !== 'eval')
    throw new Error(`parsed as ${command.command}`);
  const plan = { name: 'w0', engine: 'wasm', device: 'cpu', threads: 1, environment: {} } as const;
  const args = workerArguments(plan, command.options, 'ws://127.0.0.1:29400');
  const worker = parseCommand(args, environment, '1.2.3');
  if (worker.command !== 'worker') throw new Error(`parsed as ${worker.command}`);
  return worker.options;
}

it.each([[['local']], [['verify', 'runs/r']], [['eval', 'runs/r']]])(
  'workers of %j wait for as long as the command runs',
  (line) => {
    const config = join(temporaryFolder(), 'config.yaml');
    writeFileSync(config, 'max-wait-time: 1s\nmax-retries: 1\n');
    for (const environment of [
      {},
      { MNIST_DIST_MAX_WAIT_TIME: '1s', MNIST_DIST_MAX_RETRIES: '1' },
      { MNIST_DIST_CONFIG: config },
    ]) {
      const { maxWaitTime, maxRetries } = workerOptions(line, environment);
      expect(maxWaitTime).toBeGreaterThan(DEFAULT_MAX_WAIT_SECONDS);
      expect(maxRetries ?? Infinity).toBeGreaterThan(1000);
    }
  },
);
