import type { MeasuredEngine } from '../bench/engines.ts';
import { measure, type MeasureOptions } from '../bench/measure.ts';
import { benchText } from '../bench/bench-table.ts';
import { runTask, TASK_VARIABLE } from '../bench/task.ts';
import { ClusterError } from '../../shared/errors.ts';
import { engineKinds, type EngineKind } from '../../shared/engine-identity.ts';
import { chooseEngine } from '../processes/engine-choice.ts';
import { engineEnvironment } from '../processes/engine-environment.ts';
import { shortened } from '../terminal/styled-line.ts';
import { createLogger } from '../terminal/log.ts';
import { linesOf, stderr, stdout, type Output } from '../terminal/output.ts';
import { optionKeys, namesOf, variableOf, type BenchOptions } from '../options/options.ts';
import { onStop } from '../processes/supervised.ts';

/**
 * `mnist-dist bench`: measures the parts of a step and whole runs on this machine. Progress goes to
 * stderr, the result to stdout.
 */
export async function bench(options: BenchOptions): Promise<number> {
  const task = process.env[TASK_VARIABLE];
  if (task !== undefined) return await runTask(task);

  const log = createLogger({ level: 'info', format: 'text', destination: stderr });
  const stopping = new AbortController();
  onStop((code) =>
    stopping.abort(new ClusterError(code, 'the bench was stopped; it left no files behind')),
  );
  const choice = await chooseEngine({ engine: options.engine, device: 'auto' }, log);
  const native =
    choice.native === undefined
      ? {}
      : engineEnvironment(choice.native, { threads: 1, device: 'auto' }, choice.gpus);
  const environment = environmentOfChildren();
  const { report, end } = progressOn(stderr);
  try {
    const result = await measure({
      batchSizes: [...new Set(options.batchSizes)],
      workers: [...new Set(options.workers)],
      pairs: options.pairs,
      steps: options.steps,
      engine: choice.engine,
      environment,
      engines: enginesOf(options, choice.engine, environment, { ...environment, ...native }),
      signal: stopping.signal,
      progress: report,
    });
    end();
    if (options.json) stdout.json(result);
    else stdout.write(...linesOf(benchText(result)));
    return 0;
  } finally {
    end();
  }
}

/**
 * With `auto`, every engine that runs here; otherwise only the given engine. `reference` is slow
 * and serves only as an oracle, so with `auto` it gets only the smallest batch.
 */
function enginesOf(
  options: BenchOptions,
  chosen: EngineKind,
  plain: NodeJS.ProcessEnv,
  native: NodeJS.ProcessEnv,
): MeasuredEngine[] {
  const batchSizes = [...new Set(options.batchSizes)];
  const isMeasured = (engine: EngineKind) =>
    engine === chosen || (options.engine === 'auto' && engine !== 'tensorflow');
  return engineKinds.filter(isMeasured).map((engine) => ({
    engine,
    isRequired: engine === chosen,
    environment: engine === 'tensorflow' ? native : plain,
    batchSizes:
      engine === 'reference' && engine !== chosen ? [Math.min(...batchSizes)] : batchSizes,
  }));
}

/**
 * The environment without the variables that set options, so that all measured runs use the same
 * options.
 */
function environmentOfChildren(): NodeJS.ProcessEnv {
  const variables = new Set(optionKeys.flatMap((key) => namesOf(key).map(variableOf)));
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !variables.has(name)));
}

/** Shows a live line on a terminal; otherwise prints one line per repetition. */
function progressOn(output: Output): { report: MeasureOptions['progress']; end: () => void } {
  let reported = 0;
  return {
    report: ({ name }, repetition, done, total) => {
      const line = `bench: repetition ${repetition}, ${done} of ${total} measured; now ${name}`;
      if (output.isLive) output.draw(shortened(line, output.liveWidth));
      else if (repetition > reported) output.write(line);
      reported = repetition;
    },
    end: () => {
      if (output.isLive) output.draw('');
    },
  };
}
