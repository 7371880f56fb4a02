import type { Marks } from '../../shared/wire/message-fields.ts';
import type { Traced, TracedResult, OwnSpan } from './step-trace.ts';

/**
 * An event of the Trace Event Format, which Perfetto and chrome://tracing read: a complete event
 * (X), whose times are in microseconds, or the name of a process or a thread (M).
 */
export type TraceEvent =
  | {
      readonly ph: 'X';
      readonly name: string;
      readonly cat: string;
      readonly ts: number;
      readonly dur: number;
      readonly pid: number;
      readonly tid: number;
      readonly args: Readonly<Record<string, string | number>>;
    }
  | {
      readonly ph: 'M';
      readonly name: 'process_name' | 'thread_name';
      readonly pid: number;
      readonly tid: number;
      readonly args: { readonly name: string };
    };

const COORDINATOR = 1;
const threads: readonly OwnSpan['track'][] = ['steps', 'work', 'checkpoints'];

/** The events of a trace. All times are relative to its first span. */
export function* traceEvents({ spans, results }: Traced): Generator<TraceEvent> {
  const zero = spans.reduce((least, { begun }) => Math.min(least, begun), Infinity);
  yield named('process_name', COORDINATOR, 0, 'coordinator');
  for (const [i, track] of threads.entries()) yield named('thread_name', COORDINATOR, i + 1, track);
  for (const { name, track, step, begun, ended, details = {} } of spans)
    yield complete({ name, begun, ended }, zero, COORDINATOR, 1 + threads.indexOf(track), {
      step,
      ...details,
    });
  const connections = new Map<number, TracedResult[]>();
  for (const result of results) {
    const known = connections.get(result.connection);
    if (known === undefined) connections.set(result.connection, [result]);
    else known.push(result);
  }
  let pid = COORDINATOR;
  for (const own of connections.values()) {
    pid += 1;
    yield named('process_name', pid, 0, `worker ${own[0]?.worker ?? ''}`);
    yield named('thread_name', pid, 1, 'work');
    yield named('thread_name', pid, 2, 'results on their way');
    yield* workerEvents(own, zero, pid);
  }
}

interface Placed {
  readonly name: string;
  readonly begun: number;
  readonly ended: number;
}

/** What one worker did, moved to the coordinator's clock. */
function* workerEvents(
  results: readonly TracedResult[],
  zero: number,
  pid: number,
): Generator<TraceEvent> {
  const offset = offsetOf(results);
  let before: Before | undefined;
  for (const result of results) {
    const { step, part, task, arrived } = result;
    const spans = placed(result, offset, before);
    const ended = spans.at(-1)?.ended ?? arrived;
    for (const span of spans) yield complete(span, zero, pid, 1, { step, part, task });
    yield complete({ name: 'send', begun: ended, ended: arrived }, zero, pid, 2, {
      step,
      part,
      task,
    });
    before = { ended, received: result.marks?.received };
  }
}

/** The result before: when its computation ended, and when its weights were received. */
interface Before {
  readonly ended: number;
  readonly received: number | undefined;
}

/**
 * What a worker did for a result, in order. The worker's clock says when; the coordinator's clock
 * says that it was after the work was sent, and before the result arrived.
 */
function placed(
  { sent, arrived, microseconds, marks }: TracedResult,
  offset: number,
  before: Before | undefined,
): Placed[] {
  const earliest = Math.max(sent, before?.ended ?? sent);
  const within = (time: number) => Math.min(Math.max(time, earliest), arrived);
  if (marks === undefined || !isOrdered(marks))
    return [{ name: 'compute', begun: within(arrived - microseconds / 1000), ended: arrived }];
  const at = (mark: number) => mark / 1000 + offset;
  const begun = within(at(marks.begun));
  const built = within(at(marks.built));
  const ended = within(at(marks.begun + microseconds));
  const computed = [
    { name: 'batch', begun, ended: built },
    { name: 'compute', begun: built, ended },
  ];
  if (marks.received === before?.received) return computed;
  const received = within(at(marks.received));
  return [
    ...(before === undefined ? [] : waited(before.ended, received, marks.prefetched?.map(at))),
    { name: 'weights', begun: received, ended: begun },
    ...computed,
  ];
}

/** The wait for weights, in which the worker built its next batch. */
function waited(from: number, to: number, prefetched: readonly number[] = []): Placed[] {
  const [begun, ended] = prefetched.map((time) => Math.min(Math.max(time, from), to));
  const wait = { name: 'wait', begun: from, ended: to };
  if (begun === undefined || ended === undefined || ended <= begun) return [wait];
  return [wait, { name: 'next batch', begun, ended }];
}

/** What a worker says about its own time may be nonsense. */
function isOrdered({ received, begun, built }: Marks): boolean {
  return received <= begun && begun <= built;
}

/**
 * The difference of the clocks, in milliseconds: the weights were received after they were sent,
 * and each result arrived after it was computed. The middle of these bounds is off by half of the
 * shortest time that the messages take.
 */
function offsetOf(results: readonly TracedResult[]): number {
  let [least, most] = [-Infinity, Infinity];
  for (const { sent, arrived, microseconds, marks } of results) {
    if (marks === undefined) continue;
    least = Math.max(least, sent - marks.received / 1000);
    most = Math.min(most, arrived - (marks.begun + microseconds) / 1000);
  }
  return least === -Infinity ? 0 : (least + most) / 2;
}

function named(
  name: 'process_name' | 'thread_name',
  pid: number,
  tid: number,
  of: string,
): TraceEvent {
  return { ph: 'M', name, pid, tid, args: { name: of } };
}

function complete(
  { name, begun, ended }: Placed,
  zero: number,
  pid: number,
  tid: number,
  args: Readonly<Record<string, string | number>>,
): TraceEvent {
  // Spans that follow each other also do so after rounding.
  const nanoseconds = (time: number) => Math.round(1e6 * (time - zero));
  const from = nanoseconds(begun);
  const to = nanoseconds(Math.max(begun, ended));
  return {
    ph: 'X',
    name,
    cat: pid === COORDINATOR ? 'coordinator' : 'worker',
    ts: from / 1000,
    dur: (to - from) / 1000,
    pid,
    tid,
    args,
  };
}
