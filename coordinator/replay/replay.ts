import { serve, readOnlyPolicy, type Serving, type ServeSettings } from '../serve.ts';
import { restoreStart, type Replay } from './replay-plan.ts';
import { Verifier, type ReplayViewer } from './verifier.ts';

export interface ReplaySettings extends Pick<
  ServeSettings,
  'dataset' | 'token' | 'version' | 'memoryAddon'
> {
  /** The number of workers to wait for before the first step. */
  readonly workers: number;
  readonly rendezvousMilliseconds: number;
}

/**
 * Listens on a free loopback port and recomputes the run with the workers that connect. Rejects as
 * `serve` does.
 */
export function startReplay(
  replay: Replay,
  { workers, ...settings }: ReplaySettings,
  viewer: ReplayViewer,
): Promise<Serving<Verifier>> {
  const { contents, recorded, start } = replay;
  return serve(
    {
      ...settings,
      ...readOnlyPolicy,
      host: '127.0.0.1',
      port: 0,
      startWorkers: workers,
      configuration: { ...contents.configuration, steps: recorded.lastStep },
      evaluateAfter: {
        validation: new Set(recorded.evaluations.validation.keys()),
        test: new Set(recorded.evaluations.test.keys()),
      },
    },
    (context) => {
      restoreStart(context.tensors, start);
      return Promise.resolve(new Verifier(replay, settings.dataset, context, viewer));
    },
    (level, message, fields) => viewer.log(level, message, fields),
  );
}
