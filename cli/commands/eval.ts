import { join } from 'node:path';
import { checkEmpty, subjectOf, writeArtifacts } from '../runs/artifact-files.ts';
import { startEvaluation, type Evaluated } from '../../coordinator/evaluator.ts';
import { errorOf } from '../../coordinator/decisions/outcome.ts';
import type { Score } from '../../shared/evaluation/score.ts';
import { loadGivenDataset, loadOwnDataset } from '../../shared/dataset/own-dataset.ts';
import { announceJoin } from '../secrets/join-command.ts';
import { swappedHalves, type Dataset } from '../../shared/dataset/dataset.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS } from '../../shared/limits.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { compareClasses } from '../runs/class-order.ts';
import { checkFit, chooseModel, type ChosenModel } from '../runs/choose-model.ts';
import {
  evaluationDocument,
  evaluationLines,
  evaluationRows,
  type Evaluation,
} from '../terminal/evaluation-report.ts';
import { createLogger, type Log } from '../terminal/log.ts';
import type { CommandLine, EvalOptions, OptionKey } from '../options/options.ts';
import { withOwnWorkers, workerFailure } from '../processes/own-workers.ts';
import { stderr, stdout } from '../terminal/output.ts';
import { version } from '../package.ts';
import { count, percent } from '../../shared/text/number-format.ts';
import { onStop, StopRequest } from '../processes/supervised.ts';
import { generateToken, writeLoopbackToken } from '../secrets/generated-token.ts';
import { givenToken } from '../secrets/token.ts';
import { trainingCertificate } from '../secrets/tls-files.ts';
import { retryPolicyOf } from '../runs/transfer.ts';
import { planWorkers } from '../processes/worker-plan.ts';
import { shortDigest } from '../../shared/printable.ts';
import { REPORT_FILE } from '../../shared/files/run-layout.ts';

/**
 * `mnist-dist eval`: evaluates a model on a test set. The result goes to stdout, everything else to
 * stderr. Does not change the run's files.
 */
export async function evaluate(
  options: EvalOptions,
  { explicit, operands: [named] }: Pick<CommandLine, 'explicit' | 'operands'>,
): Promise<number> {
  tuneRuntime();
  const { logLevel, logFormat } = options;
  const log = createLogger({ level: logLevel, format: logFormat, destination: stderr });
  const stopping = new StopRequest();
  const fetching = new AbortController();
  onStop((code) => {
    fetching.abort(new ClusterError(code, 'stopped'));
    stopping.stop(code);
  });
  const chosen = await chooseModel(named, options.runsDir, retryPolicyOf(fetching.signal, log));
  const { own } = chosen;
  const whole = await (options.data === undefined
    ? loadOwnDataset(own, undefined)
    : loadGivenDataset(own, options.data, {
        imageSize: options.imageSize,
        testSplit: options.testSplit,
        say: (note) => log.info({}, note),
      }));
  if (whole.digest !== own.digest)
    log.warn(
      { dataset: whole.digest, own: own.digest },
      `${chosen.name} was trained with a different dataset: SHA-256 ${shortDigest(own.digest)}, ` +
        `not ${shortDigest(whole.digest)} (--data)`,
    );
  const dataset = options.split === 'train' ? swappedHalves(whole) : whole;
  checkFit(chosen, dataset);
  const doubt = compareClasses(chosen, dataset);
  if (doubt !== undefined) log.warn({}, doubt);
  if (options.out !== undefined) await checkEmpty(options.out);
  const half = options.split === 'train' ? 'training' : 'test';
  const subject = dataset.name ?? 'the dataset';
  log.info(
    { model: chosen.name, samples: dataset.test.samples },
    `evaluating ${chosen.name} on ${count(dataset.test.samples)} ${half} images of ${subject}`,
  );
  const evaluated = await compute({ model: chosen, dataset, options, explicit, stopping, log });
  const { score } = evaluated;
  if (score === undefined)
    throw new ClusterError('DIVERGED', `the loss of ${chosen.name} on this dataset is not finite`);
  const evaluation = { ...evaluated, score, chosen, dataset, split: options.split };
  // The result is printed even if drawing the pictures fails.
  print(evaluation, options);
  const failure = options.pictures ? await writeReport(evaluation, options, log) : undefined;
  if (failure !== undefined) log.error({ err: failure }, failure.message);
  const code = judged(score, options.failUnder);
  if (failure !== undefined) throw failure;
  return code;
}

/** Writes the report beside the run's own artifacts. Resolves with the error, if any. */
async function writeReport(
  { score, misclassified, dataset, chosen, split, engine }: Evaluation,
  { out }: EvalOptions,
  log: Log,
): Promise<ClusterError | undefined> {
  assert(engine !== undefined, 'a worker computed the evaluation');
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const destination =
    out === undefined ? { like: join(chosen.directory ?? '', `eval-${time}`) } : { named: out };
  try {
    const folder = await writeArtifacts(destination, {
      subject: subjectOf(chosen, chosen.record?.run, dataset, split, engine),
      score,
      wrong: misclassified,
      images: dataset.test.images,
      metricsFile: undefined,
    });
    log.info({ report: join(folder, REPORT_FILE) }, `the report and its pictures are in ${folder}`);
    return undefined;
  } catch (error) {
    if (error instanceof ClusterError) return error;
    throw error;
  }
}

interface Computation {
  readonly model: ChosenModel;
  readonly dataset: Dataset;
  readonly options: EvalOptions;
  readonly explicit: ReadonlySet<OptionKey>;
  readonly stopping: StopRequest;
  readonly log: Log;
}

async function compute({
  model,
  dataset,
  options,
  explicit,
  stopping,
  log,
}: Computation): Promise<Evaluated> {
  // If an address is given, this command does not start workers but waits for workers to join.
  const isOpen = explicit.has('host') || explicit.has('port');
  const plans = isOpen ? [] : await planWorkers(options, log);
  const given = isOpen ? givenToken(options.tokenFile, process.env) : undefined;
  const token = given ?? generateToken();
  const certificate = isOpen ? trainingCertificate(options) : undefined;
  const isGenerated = isOpen && given === undefined;
  const serving = await startEvaluation(
    model,
    {
      dataset,
      token,
      version,
      tls: certificate,
      startWorkers: Math.max(1, plans.length),
      ...(isOpen ? { host: options.host, port: options.port } : { host: '127.0.0.1', port: 0 }),
      rendezvousMilliseconds: 1000 * DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS,
      listening: isGenerated
        ? (port) => writeLoopbackToken(options.host, port, token).remove
        : undefined,
    },
    (level, message, fields) => log[level](fields, message),
  );
  const { host, advertise } = options;
  const endpoint = { host, advertise, port: serving.port, certificate, token };
  const isShown = stderr.isTerminal && options.logFormat === 'text';
  if (isOpen)
    announceJoin(
      endpoint,
      'a worker',
      { sameUser: isGenerated, joinFile: undefined, isShown },
      log,
    );
  const { outcome, result } = await withOwnWorkers({
    serving,
    plans,
    token,
    options,
    stopping,
    log,
    failureOf: workerFailure,
  });
  // `evaluate` reports a divergence with the model's name.
  if (outcome.code === undefined || outcome.code === 'DIVERGED') return result;
  throw errorOf(outcome.code, outcome);
}

function print(evaluation: Evaluation, { format }: EvalOptions): void {
  switch (format) {
    case 'text':
      stdout.write(...evaluationLines(evaluation, stdout.width, stdout.style));
      return;
    case 'json':
      stdout.json(evaluationDocument(evaluation));
      return;
    case 'csv':
      stdout.csv(...evaluationRows(evaluation));
  }
}

/** Returns 0. Throws BELOW if the accuracy is below --fail-under. */
function judged({ accuracy }: Score, least: number | undefined): number {
  if (least === undefined || accuracy >= least) return 0;
  const [is, limit] = [percent(accuracy), percent(least)];
  // Two decimals of a percentage may not show the difference.
  const [shown, wanted] = is === limit ? [accuracy, least] : [is, limit];
  throw new ClusterError('BELOW', `the accuracy is ${shown}, below ${wanted} (--fail-under)`);
}
