import { describe, expect, it } from 'vitest';
import { openRecorder } from '../../../../coordinator/open-run.ts';
import { Predictions } from '../../../../coordinator/predictions.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import type { Recorder } from '../../../../coordinator/recorder.ts';
import { initialState, type RunState } from '../../../../coordinator/decisions/state.ts';
import { Tensors } from '../../../../coordinator/tensors.ts';
import { silentViewer } from '../../../../coordinator/viewer.ts';
import { systemDisk } from '../../../../shared/disk/disk.ts';
import { systemClock } from '../../../../shared/clock.ts';
import { initialWeights } from '../../../../shared/arithmetic/random.ts';
import { totalSteps } from '../../../../shared/arithmetic/schedule.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { simulatedConfiguration } from '../../../simulation/model.ts';
import { simulatedDataset } from '../../../simulation/run-on-disk.ts';

const configuration = simulatedConfiguration(4, 1);
const predictions = new Predictions(configuration);
const result = (step: number) => ({
  step,
  loss: 0.5 + step,
  correct: 3,
  checksum: BigInt(step),
  milliseconds: 1,
  workers: 1,
  updateMilliseconds: 1,
  gradientNorm: () => 1,
});

/** A coordinator that starts the run in the folder, or resumes it. */
async function open(
  runs: string,
  resume: boolean,
  disk = systemDisk,
  viewer = silentViewer,
): Promise<{ recorder: Recorder; state: RunState }> {
  const tensors = new Tensors(
    configuration,
    initialWeights(configuration.seed, configuration.model),
  );
  const recorder = await openRecorder(
    {
      configuration,
      dataset: simulatedDataset(configuration),
      version: '0',
      launch: {},
      keepCheckpoints: 2,
      runsDir: runs,
      runId: resume ? undefined : 'r',
      resume: resume ? `${runs}/r` : undefined,
      takeOver: false,
    },
    {
      tensors,
      predictions,
      clock: systemClock,
      fail: (error) => {
        throw error;
      },
    },
    viewer,
    // Every coordinator finds that the one before it is gone.
    { disk, processes: { ...systemProcesses, isRunning: () => false } },
  );
  const { run, term, resumed } = recorder;
  const policy = { startWorkers: 1, minWorkers: 1, maxWorkers: 1, rendezvousMilliseconds: 1 };
  const settings = {
    ...policy,
    allowMixedEngines: false,
    checkpointEvery: { steps: 1000 },
    audit: undefined,
  };
  const state = initialState(
    { ...settings, run, term, configuration, totalSteps: totalSteps(configuration) },
    ...([0, resumed] as const),
  );
  await recorder.opened(state);
  return { recorder, state };
}

/** A run that ended after `steps` steps without a checkpoint, because it diverged. */
async function leave(steps: number): Promise<string> {
  const runs = temporaryFolder();
  const { recorder, state } = await open(runs, false);
  for (let step = 1; step <= steps; step++) recorder.step(result(step));
  await recorder.finish(state, { state: 'diverged', code: 'DIVERGED', message: 'for the test' });
  return runs;
}

describe('a step that is recomputed', () => {
  it('is compared with its recorded line, if there is one', async () => {
    const { recorder } = await open(await leave(4), true);
    expect(recorder.term).toBe(2);
    for (const step of [1, 2, 3, 4, 5]) expect(() => recorder.step(result(step))).not.toThrow();
  });

  it.each(['loss', 'correct', 'checksum'] as const)(
    'fails the run if it differs: %s',
    async (field) => {
      const { recorder } = await open(await leave(4), true);
      recorder.step(result(1));
      const other = { loss: 9, correct: 4, checksum: 9n };
      expect(() => recorder.step({ ...result(2), [field]: other[field] })).toThrow(
        expect.objectContaining({
          code: 'REPLAY',
          message: expect.stringContaining('step 2'),
          fix: expect.stringContaining('with its own engine (--engine'),
        }),
      );
    },
  );
});

// No local file system refuses to sync folders: test/unit/shared/disk/disk.test.ts injects the
// errors that FUSE and network file systems return.
it('a run on a file system that cannot sync folders trains with one warning', async () => {
  const lines: string[] = [];
  const viewer = {
    ...silentViewer,
    log: (level: string, message: string) => void lines.push(`${level}: ${message}`),
  };
  const { recorder } = await open(
    temporaryFolder(),
    false,
    { ...systemDisk, syncDirectory: async () => false },
    viewer,
  );
  await recorder.abandon();
  expect(lines).toEqual([
    expect.stringMatching(/^warn: the file system of .* cannot sync folders/),
  ]);
});
