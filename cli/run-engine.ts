import { ClusterError } from '../shared/errors.ts';
import type { EngineIdentity } from '../shared/engine-identity.ts';
import type { LocalOptions, OptionKey } from './options.ts';

type EngineOptions = Pick<LocalOptions, 'engine' | 'device' | 'threads'>;

/** Engine, device and threads that compute the bytes of a run, where others were not asked for. */
export function engineOfRun(
  ran: EngineIdentity | undefined,
  { engine, device, threads }: EngineOptions,
  explicit: ReadonlySet<OptionKey>,
): EngineOptions {
  if (ran === undefined) return { engine, device, threads };
  return {
    engine: engine === 'auto' ? ran.kind : engine,
    device: device === 'auto' && ran.device === 'cpu' ? 'cpu' : device,
    threads: explicit.has('threads') ? threads : Math.max(1, ran.threads),
  };
}

/** The options that the engine of a run settles, where others than `auto` were given; which GPU it was is left open. */
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

/** What `plan` resolves with; where it needs the engine that has `ran`, and that is not there, the error says so. */
export async function withEngineOfRun<T>(
  directory: string,
  ran: EngineIdentity | undefined,
  plan: () => Promise<T>,
  code?: 'NOT_REPLAYABLE',
): Promise<T> {
  try {
    return await plan();
  } catch (error) {
    const isOurs = error instanceof ClusterError && (error.code === 'ENGINE' || error.code === 'SETUP');
    if (!isOurs || ran === undefined) throw error;
    throw new ClusterError(
      code ?? error.code,
      `${directory} was computed by ${ran.kind}, which cannot run here: ${error.message}`,
      { ...(error.fix === undefined ? {} : { fix: error.fix }), cause: error },
    );
  }
}
