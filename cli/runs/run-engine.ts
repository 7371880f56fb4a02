import { join } from 'node:path';
import { linesIfThere } from '../../coordinator/run-directory/run-contents.ts';
import { eventsFrom } from '../../dashboards/feed/event-lines.ts';
import { RunHistory } from '../../dashboards/feed/history.ts';
import { ClusterError } from '../../shared/errors.ts';
import { engineKinds, type EngineIdentity } from '../../shared/engine-identity.ts';
import type { LocalOptions, OptionKey } from '../options/options.ts';
import { EVENTS_FILE } from '../../shared/files/run-layout.ts';

type EngineOptions = Pick<LocalOptions, 'engine' | 'device' | 'threads'>;

/** A run's engine. Events record its kind and possibly its device; run.json records all fields. */
export type KnownEngine = Pick<EngineIdentity, 'kind'> &
  Partial<Pick<EngineIdentity, 'device' | 'threads'>>;

/**
 * The engine of the worker that became ready last, for a run that crashed before its run.json
 * recorded an engine. Undefined if no worker became ready. Rejects with DATA if the events
 * cannot be read.
 */
export async function engineInEvents(directory: string): Promise<KnownEngine | undefined> {
  const history = new RunHistory();
  for await (const event of eventsFrom(linesIfThere(join(directory, EVENTS_FILE))))
    history.add(event);
  const kind = engineKinds.find((known) => known === history.engine);
  if (kind === undefined) return undefined;
  return history.device === undefined ? { kind } : { kind, device: history.device };
}

/** A run's engine, device and threads, unless the options ask for different ones. */
export function engineOfRun(
  ran: KnownEngine | undefined,
  { engine, device, threads }: EngineOptions,
  explicit: ReadonlySet<OptionKey>,
): EngineOptions {
  if (ran === undefined) return { engine, device, threads };
  return {
    engine: engine === 'auto' ? ran.kind : engine,
    device: device === 'auto' && ran.device === 'cpu' ? 'cpu' : device,
    threads:
      explicit.has('threads') || ran.threads === undefined ? threads : Math.max(1, ran.threads),
  };
}

/**
 * The run's values for the engine options that are not `auto` and therefore must match the run. The
 * GPU's index may differ.
 */
export function engineToKeep(
  ran: EngineIdentity,
  { engine, device }: EngineOptions,
): Readonly<Record<string, string>> {
  const [ranOn = 'cpu'] = ran.device.split(' ', 1);
  const isOtherDevice = device !== 'auto' && (device === 'cpu') !== (ranOn === 'cpu');
  return {
    ...(engine === 'auto' ? {} : { engine: ran.kind }),
    ...(isOtherDevice ? { device: ranOn } : {}),
  };
}

/**
 * Resolves with the result of `plan`. If it rejects because the run's engine is missing, the error
 * says which run and which engine.
 */
export async function withEngineOfRun<T>(
  directory: string,
  ran: KnownEngine | undefined,
  plan: () => Promise<T>,
  code?: 'NOT_REPLAYABLE',
): Promise<T> {
  try {
    return await plan();
  } catch (error) {
    const isOurs =
      error instanceof ClusterError && (error.code === 'ENGINE' || error.code === 'SETUP');
    if (!isOurs || ran === undefined) throw error;
    throw new ClusterError(
      code ?? error.code,
      `${directory} was computed by ${ran.kind}, which cannot run here: ${error.message}`,
      { ...(error.fix === undefined ? {} : { fix: error.fix }), cause: error },
    );
  }
}
