import { systemCode } from '../data/system-error.ts';
import { ClusterError, unreachable } from '../shared/errors.ts';
import { createLogger } from './log.ts';
import { version } from './package.ts';
import { parseCommand } from './program.ts';
import { printable } from './printable.ts';

/** Runs a command line (without node and script); resolves with the exit code. A defect rejects. */
export async function main(argv: readonly string[]): Promise<number> {
  outliveReaders();
  try {
    return await run(argv);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    report(error, argv);
    return error.exitCode;
  }
}

/** A reader that has gone (`| head`) wants no more lines; whatever else a command does goes on. */
function outliveReaders(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => {
      if (systemCode(error) !== 'EPIPE') throw error;
    });
  }
}

/** For people on two lines; as a log line where the command line (which may be the error) or the environment asks for JSON. */
function report(error: ClusterError, argv: readonly string[]): void {
  const text = argv.join(' ');
  const format = /--log-format[= ](\S+)/.exec(text)?.[1] ?? process.env['MNIST_DIST_LOG_FORMAT'];
  if (format === 'json') {
    const log = createLogger({ level: 'error', format: 'json', destination: process.stderr });
    log.error({ code: error.code, ...(error.fix === undefined ? {} : { fix: error.fix }) }, error.message);
    return;
  }
  process.stderr.write(`mnist-dist: ${printable(error.message)}\n`);
  if (error.fix !== undefined) process.stderr.write(`  ${printable(error.fix)}\n`);
}

/** Each command's code is loaded only when it is asked for. */
async function run(argv: readonly string[]): Promise<number> {
  const parsed = parseCommand(argv, process.env, version);
  switch (parsed.command) {
    case 'print':
      (parsed.exitCode === 0 ? process.stdout : process.stderr).write(parsed.text);
      return parsed.exitCode;
    case 'local': {
      const { local } = await import('./local.ts');
      return await local(parsed.options, parsed.explicit);
    }
    case 'coordinator': {
      const { coordinator } = await import('./coordinator.ts');
      return await coordinator(parsed.options, parsed.explicit);
    }
    case 'worker': {
      const { worker } = await import('./worker.ts');
      return await worker(parsed.options, parsed.explicit, argv);
    }
    case 'show': {
      const { show } = await import('./show.ts');
      return await show(parsed.options, parsed.explicit, parsed.operand);
    }
    case 'verify': {
      const { verify } = await import('./verify.ts');
      return await verify(parsed.options, parsed.explicit, parsed.operand);
    }
    case 'eval': {
      const { evaluate } = await import('./eval.ts');
      return await evaluate(parsed.options, parsed.explicit, parsed.operand);
    }
    case 'predict': {
      const { predict } = await import('./predict.ts');
      return await predict(parsed.options, parsed.operands);
    }
    case 'runs': {
      const { runs } = await import('./runs.ts');
      return await runs(parsed.options);
    }
    case 'push': {
      const { push } = await import('./push.ts');
      return await push(parsed.options, parsed.operands);
    }
    case 'pull': {
      const { pull } = await import('./pull.ts');
      return await pull(parsed.options, parsed.operands);
    }
    case 'dashboards': {
      const { dashboards } = await import('./dashboards.ts');
      return await dashboards(parsed.options);
    }
    case 'certs': {
      const { certs } = await import('./certs.ts');
      return await certs(parsed.options, parsed.operands);
    }
    case 'setup': {
      const { setup } = await import('./setup.ts');
      return await setup(parsed.options);
    }
    case 'doctor': {
      const { doctor } = await import('./doctor.ts');
      return await doctor(parsed.options);
    }
    case 'bench': {
      const { bench } = await import('./bench.ts');
      return await bench(parsed.options);
    }
    default:
      return unreachable(parsed);
  }
}
