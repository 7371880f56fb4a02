import { systemRetryPolicy, type RetryPolicy } from '../../artifacts/store/retry.ts';
import { bytesText, counted } from '../../shared/text/number-format.ts';
import type { OnProgress, Progress } from '../../artifacts/store/transfers.ts';
import { ClusterError } from '../../shared/errors.ts';
import { fitLine, type Part } from '../terminal/progress-line.ts';
import type { Log, LogFields } from '../terminal/log.ts';
import { stdout } from '../terminal/output.ts';
import { onStop } from '../processes/supervised.ts';
import { openScreen, type ProgressOptions } from '../terminal/live-terminal.ts';
import type { PullOptions, PushOptions } from '../options/options.ts';

/** The terminal, the retries and the progress of a push or a pull. */
export interface Transfer {
  readonly terminal: ProgressOptions;
  readonly retryPolicy: RetryPolicy;
  readonly onProgress: OnProgress;
}

/**
 * Runs a push or a pull, shows its progress on the terminal, and prints the sentence that `action`
 * resolves with. Ctrl-C stops it. Resolves with the exit code.
 */
export async function transfer(
  options: PushOptions | PullOptions,
  action: (transfer: Transfer) => Promise<{ sentence: string; next?: string; fields: LogFields }>,
): Promise<number> {
  const { logLevel, logFormat } = options;
  const terminal = openScreen({ output: stdout, logLevel, logFormat });
  const { output, log, live } = terminal;
  const stopping = new AbortController();
  const release = onStop((code) =>
    stopping.abort(
      new ClusterError(code, 'stopped', { fix: 'run the same command again to continue' }),
    ),
  );
  const retryPolicy = retryPolicyOf(stopping.signal, log);
  const onProgress = (progress: Progress): void => {
    log.debug({ file: progress.name }, `${progress.name}: ${progress.done}`);
    const ratio = progress.files / Math.max(1, progress.allFiles);
    if (live)
      output.draw(fitLine(partsOf(progress), ratio, output.liveWidth, output.style.unicode));
  };
  try {
    const { sentence, next, fields } = await action({ terminal, retryPolicy, onProgress });
    output.draw('');
    if (logFormat === 'json') log.info(fields, sentence);
    else output.write(sentence, ...(next === undefined ? [] : [next]));
    return 0;
  } finally {
    release();
    output.draw('');
  }
}

/** Retries until the signal is aborted, with a warning for each retry. */
export function retryPolicyOf(signal: AbortSignal, log: Log): RetryPolicy {
  return systemRetryPolicy(signal, (error, milliseconds) => {
    log.warn(
      { milliseconds },
      `${error.message}; retrying in ${(milliseconds / 1000).toFixed(1)} s`,
    );
  });
}

function partsOf({ files, allFiles, bytes, allBytes }: Progress): Part[] {
  return [
    { text: '', dropped: 2, isBar: true },
    { text: `${files} of ${allFiles} files`, dropped: 0 },
    { text: `${bytesText(bytes)} of ${bytesText(allBytes)}`, dropped: 1 },
  ];
}

/** "8 files, 2.2 MB". */
export function filesText(files: number, bytes: number): string {
  return `${counted(files, 'file')}, ${bytesText(bytes)}`;
}
