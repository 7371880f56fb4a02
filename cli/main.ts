import { setImmediate } from 'node:timers/promises';
import { homeOf } from '../shared/disk/cache-directory.ts';
import { systemCode } from '../shared/disk/system-error.ts';
import { ClusterError, unreachable } from '../shared/errors.ts';
import { explain, say } from './terminal/explain.ts';
import { rememberStart } from './options/invocation.ts';
import { linesOf, stderr, stdout } from './terminal/output.ts';
import { version } from './package.ts';
import { packageRoot } from '../worker/native/places.ts';
import { parseCommand } from './program.ts';
import { onIgnored, watchSignals } from './processes/signals.ts';

/** What became of what was printed: the first write to stdout that failed. */
let unprinted: Error | undefined;
/** What they print is a log; it is missed, but nothing depends on it. */
const commandsThatLog = new Set(['local', 'coordinator', 'worker', 'show']);

/** Runs a command line (without node and script); resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  // Libraries ask for a home, Amazon's among them, and fail where the user has none.
  if (homeOf() === undefined) process.env['HOME'] = '/';
  rememberStart({
    script: process.argv[1] ?? '',
    cwd: process.cwd(),
    environment: process.env,
    root: packageRoot,
  });
  outliveReaders();
  watchSignals();
  process.on('uncaughtException', (error) => process.exit(explain(error, argv)));
  onIgnored(() =>
    say(
      argv,
      'info',
      { signal: 'SIGHUP' },
      'SIGHUP is ignored, since this process has no terminal; SIGTERM ends it',
    ),
  );
  // Where nothing is left that could settle a command, Node would end with exit code 13, which
  // means EXISTS here.
  const defect = (): never => process.exit(explain(new Error('a command waits for nothing'), argv));
  process.once('beforeExit', defect);
  try {
    const code = await run(argv);
    await checkPrinted(argv[0] ?? '');
    return code;
  } catch (error) {
    const code = explain(error, argv);
    // What did not end in good order may have left sockets open, with which this process would live
    // on.
    if (!(error instanceof ClusterError)) process.exit(code);
    return code;
  } finally {
    process.off('beforeExit', defect);
  }
}

/**
 * A reader that has gone (`| head`), a terminal that was closed and a log file on a full disk take
 * no more lines. None of them ends a command; one whose result could not be printed says so at its
 * end.
 */
function outliveReaders(): void {
  process.stdout.on('error', (error) => {
    unprinted ??= error;
  });
  process.stderr.on('error', () => undefined);
}

/**
 * Throws DISK where this command's result is what it prints, and was not written. A reader that has
 * gone wanted no more.
 */
async function checkPrinted(command: string): Promise<void> {
  // What a stream reports, it reports after the write.
  await setImmediate();
  if (unprinted === undefined || commandsThatLog.has(command)) return;
  const code = systemCode(unprinted);
  if (code !== 'EPIPE' && code !== 'EIO') {
    throw new ClusterError('DISK', `the output could not be written: ${unprinted.message}`, {
      fix: 'free disk space, or write it elsewhere, and run this again',
      cause: unprinted,
    });
  }
}

/** Each command's code is loaded only when it is asked for. */
async function run(argv: readonly string[]): Promise<number> {
  const parsed = parseCommand(argv, process.env, version);
  switch (parsed.command) {
    case 'print':
      (parsed.exitCode === 0 ? stdout : stderr).write(...linesOf(parsed.text));
      return parsed.exitCode;
    case 'local': {
      const { local } = await import('./commands/local.ts');
      return await local(parsed.options, parsed.explicit);
    }
    case 'coordinator': {
      const { coordinator } = await import('./commands/coordinator.ts');
      return await coordinator(parsed.options, parsed.explicit);
    }
    case 'worker': {
      const { worker } = await import('./commands/worker.ts');
      return await worker(parsed.options, parsed.explicit, argv);
    }
    case 'show': {
      const { show } = await import('./commands/show.ts');
      return await show(parsed.options, parsed.explicit, parsed.operand);
    }
    case 'verify': {
      const { verify } = await import('./commands/verify.ts');
      return await verify(parsed.options, parsed.explicit, parsed.operand);
    }
    case 'eval': {
      const { evaluate } = await import('./commands/eval.ts');
      return await evaluate(parsed.options, parsed.explicit, parsed.operand);
    }
    case 'predict': {
      const { predict } = await import('./commands/predict.ts');
      return await predict(parsed.options, parsed.operands);
    }
    case 'runs': {
      const { runs } = await import('./commands/runs.ts');
      return await runs(parsed.options);
    }
    case 'push': {
      const { push } = await import('./commands/push.ts');
      return await push(parsed.options, parsed.operands);
    }
    case 'pull': {
      const { pull } = await import('./commands/pull.ts');
      return await pull(parsed.options, parsed.operands);
    }
    case 'dashboards': {
      const { dashboards } = await import('./commands/dashboards.ts');
      return await dashboards(parsed.options);
    }
    case 'certs': {
      const { certs } = await import('./commands/certs.ts');
      return await certs(parsed.options, parsed.operands);
    }
    case 'setup': {
      const { setup } = await import('./commands/setup.ts');
      return await setup(parsed.options);
    }
    case 'doctor': {
      const { doctor } = await import('./commands/doctor.ts');
      return await doctor(parsed.options);
    }
    case 'bench': {
      const { bench } = await import('./commands/bench.ts');
      return await bench(parsed.options);
    }
    default:
      return unreachable(parsed);
  }
}
