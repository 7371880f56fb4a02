import { readRunContents, type RunContents } from '../../coordinator/run-directory/run-contents.ts';
import { startReplay } from '../../coordinator/replay/replay.ts';
import type { Verified } from '../../coordinator/replay/verifier.ts';
import { loadMemoryAddon } from '../../worker/native/addons/memory.ts';
import { datasetOfRun, loadOwnDataset } from '../../shared/dataset/own-dataset.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { engineText } from '../../shared/engine-identity.ts';
import { DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS } from '../../shared/limits.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { chooseRun } from '../runs/choose-run.ts';
import type { Log } from '../terminal/log.ts';
import type { CommandLine, OptionKey, VerifyOptions } from '../options/options.ts';
import { stdout } from '../terminal/output.ts';
import { version } from '../package.ts';
import { count, counted } from '../../shared/text/number-format.ts';
import { replayProgress } from '../terminal/replay-progress.ts';
import { engineInEvents, engineOfRun, withEngineOfRun } from '../runs/run-engine.ts';
import { superviseReplay } from '../processes/replay-workers.ts';
import { onStop, StopRequest } from '../processes/supervised.ts';
import { openScreen, type ProgressOptions } from '../terminal/live-terminal.ts';
import { generateToken } from '../secrets/generated-token.ts';
import { planWorkers, type WorkerPlan } from '../processes/worker-plan.ts';
import { type Replay, planReplay, checkDataset } from '../../coordinator/replay/replay-plan.ts';

/**
 * `mnist-dist verify`: recomputes a run and compares every step with its record. Does not write to
 * the run directory.
 */
export async function verify(
  options: VerifyOptions,
  { explicit, operands: [named] }: Pick<CommandLine, 'explicit' | 'operands'>,
): Promise<number> {
  tuneRuntime();
  const terminal = openScreen({
    output: stdout,
    logLevel: options.logLevel,
    logFormat: options.logFormat,
  });
  const { log } = terminal;
  const contents = await readRunContents(chooseRun(named, options.runsDir));
  const replay = await planReplay(contents, options.from);
  warnOfLimits(replay, options, log);
  const own = datasetOfRun(contents.directory, contents.record);
  const dataset = await loadOwnDataset(own, options.data, { code: 'NOT_REPLAYABLE' });
  checkDataset(replay, dataset);
  const plans = await plansFor(contents, options, explicit, log);
  const verified = await recompute({ replay, dataset, plans, options, terminal });
  const sentence = sentenceOf(verified, contents, plans.length);
  if (options.logFormat === 'json') log.info({ event: 'verified', ...verified }, sentence);
  else terminal.output.write(sentence);
  return 0;
}

/** Warns if less than the whole run is verified. */
function warnOfLimits(
  { contents, recorded, start }: Replay,
  { from }: VerifyOptions,
  log: Log,
): void {
  const { directory, writer } = contents;
  const last = recorded.lastStep;
  if (writer !== undefined) {
    log.warn({ writer }, `${writer} is running ${directory}; verifying it up to step ${last}`);
  } else if (recorded.isTorn) {
    log.warn(
      { step: last },
      'metrics.jsonl ends with an incomplete line, probably from a crash; the line is ignored',
    );
  }
  if (from === undefined) return;
  if (start.checkpoint === undefined)
    log.warn(
      { from },
      `there is no checkpoint at or before step ${from} (--from); starting from the beginning`,
    );
  else
    log.warn(
      { from, step: start.step },
      `starting from the checkpoint at step ${start.step}; earlier steps are not verified`,
    );
}

/** The workers, with the run's engine unless an option selects a different engine. */
async function plansFor(
  { directory, record }: RunContents,
  options: VerifyOptions,
  explicit: ReadonlySet<OptionKey>,
  log: Log,
): Promise<WorkerPlan[]> {
  const ran = record.engine?.description ?? (await engineInEvents(directory));
  const choice = { nprocPerNode: options.nprocPerNode, ...engineOfRun(ran, options, explicit) };
  const needed = options.engine === 'auto' ? ran : undefined;
  return await withEngineOfRun(directory, needed, () => planWorkers(choice, log), 'NOT_REPLAYABLE');
}

interface Recomputation {
  readonly replay: Replay;
  readonly dataset: Dataset;
  readonly plans: readonly WorkerPlan[];
  readonly options: VerifyOptions;
  readonly terminal: ProgressOptions;
}

async function recompute({
  replay,
  dataset,
  plans,
  options,
  terminal,
}: Recomputation): Promise<Verified> {
  const { log } = terminal;
  const { start, recorded, contents } = replay;
  const token = generateToken();
  // Must come before the first child process starts: Ctrl-C must end all of them.
  const stopping = new StopRequest();
  onStop((code) => stopping.stop(code));
  const progress = replayProgress(terminal, start.step, recorded.lastStep);
  try {
    const rendezvousMilliseconds = 1000 * DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS;
    const serving = await startReplay(
      replay,
      {
        dataset,
        token,
        version,
        workers: plans.length,
        rendezvousMilliseconds,
        memoryAddon: loadMemoryAddon(),
      },
      {
        step: (step) => progress.step(step),
        log: (level, message, fields) => log[level](fields, message),
      },
    );
    log.info(
      { run: contents.directory, steps: recorded.lastStep - start.step },
      `recomputing ${count(recorded.lastStep - start.step)} steps of ${contents.directory}`,
    );
    return await superviseReplay({ serving, plans, token, options, stopping, contents, log });
  } finally {
    progress.close();
  }
}

function sentenceOf(
  verified: Verified,
  { directory, writer }: RunContents,
  workers: number,
): string {
  const { steps, evaluations, checkpoints, model, step, chain, engine } = verified;
  const range =
    steps === step || steps === 0 ? '' : ` (${count(step - steps + 1)} to ${count(step)})`;
  const parts = [
    counted(evaluations, 'evaluation'),
    ...(checkpoints > 0 ? [counted(checkpoints, 'checkpoint')] : []),
    ...(model ? ['the model'] : []),
  ];
  const done = steps === 0 ? `no step after ${count(step)}` : `${counted(steps, 'step')}${range}`;
  const all = [done, ...parts];
  const what = `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`;
  const on = `on ${counted(workers, 'worker')}`;
  const how = engine === undefined ? on : `${on} with ${engineText(engine)}`;
  const state = writer === undefined ? '' : ', which is still running';
  return `verified ${what} of ${directory}${state}, ${how}: same chain ${chain}`;
}
