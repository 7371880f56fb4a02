import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { StepTrace, type Traced } from '../../coordinator/trace/step-trace.ts';
import { silentViewer, type RunViewer } from '../../coordinator/viewer.ts';
import { traceEvents, type TraceEvent } from '../../coordinator/trace/trace-events.ts';
import { writeWhole } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { TRACE_EVENTS_AT_A_TIME } from '../../shared/limits/trace.ts';
import type { TracedSteps } from '../../shared/wire/traced-steps.ts';
import type { Log } from '../terminal/log.ts';

/** The file of --trace: written once its steps are over, while the run continues. */
export class TraceFile {
  readonly trace: StepTrace;
  readonly viewer: RunViewer;
  readonly #path: string;
  readonly #log: Log;
  #writing: Promise<void> | undefined;

  /** Throws USAGE if the file's folder does not exist, or if a folder is in its place. */
  constructor(path: string, window: TracedSteps, log: Log) {
    this.#path = path;
    this.#log = log;
    checkPlace(path);
    this.trace = new StepTrace(
      window,
      () => performance.now(),
      (traced) => {
        this.#writing = this.#write(traced);
      },
    );
    this.viewer = {
      ...silentViewer,
      checkpoint: ({ step, milliseconds }) => this.trace.checkpointed(step, milliseconds),
      ended: () => this.trace.end(),
    };
  }

  /** Waits until the file is written. Does not reject. */
  async close(): Promise<void> {
    const { from, to } = this.trace.window;
    // A coordinator that failed has not said that the run is over.
    this.trace.end();
    if (this.#writing === undefined)
      this.#log.warn(
        {},
        `there is no trace: none of the steps ${from} to ${to} was computed (--trace-steps)`,
      );
    await this.#writing;
  }

  async #write(traced: Traced): Promise<void> {
    const steps = new Set(traced.spans.map(({ step }) => step)).size;
    try {
      await writeWhole(this.#path, piecesOf(traceEvents(traced)));
      this.#log.info(
        { trace: this.#path },
        `the trace of ${steps} steps is ${this.#path}: open it at https://ui.perfetto.dev`,
      );
      if (traced.leftOut > 0)
        this.#log.warn({}, `the trace lacks ${traced.leftOut} events: choose fewer steps`);
    } catch (error) {
      this.#log.warn({ err: error }, `there is no trace: ${messageOf(error)}`);
    }
  }
}

function checkPlace(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  const folder = statSync(dirname(path), { throwIfNoEntry: false });
  if (folder?.isDirectory() === true && (found === undefined || found.isFile())) return;
  const what =
    found === undefined ? `there is no folder ${dirname(path)}` : `${path} is not a file`;
  throw new ClusterError('USAGE', `${what} (--trace)`, {
    fix: 'give the path of a new file in a folder that exists',
  });
}

/** The JSON object of the Trace Event Format, one event in each line. */
async function* piecesOf(events: Iterable<TraceEvent>): AsyncGenerator<Uint8Array> {
  let lines: string[] = [];
  let head = '{"displayTimeUnit":"ms","traceEvents":[\n';
  for (const event of events) {
    lines.push(JSON.stringify(event));
    if (lines.length < TRACE_EVENTS_AT_A_TIME) continue;
    yield Buffer.from(head + lines.join(',\n'));
    head = ',\n';
    lines = [];
    // Other work comes first.
    await setImmediate();
  }
  yield Buffer.from(`${lines.length === 0 ? '' : head + lines.join(',\n')}\n]}\n`);
}
