import { systemRetryPolicy } from '../../artifacts/store/retry.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { ClusterError } from '../../shared/errors.ts';
import { weightsDigest } from '../../shared/files/init-file.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { shortDigest } from '../../shared/printable.ts';
import { isSameModel, modelSummary } from '../models/same-model.ts';
import { flagOf } from '../options/options.ts';
import { chooseModel } from './choose-model.ts';

/** The weights that a new run begins with, and where they come from. */
export interface ChosenInit {
  /** The path of the model file, or its URI. */
  readonly name: string;
  readonly model: ModelShape;
  readonly weights: Float32Array;
  /** SHA-256 of the weights, which is part of the recipe. */
  readonly digest: string;
}

interface InitOptions {
  readonly init: string | undefined;
  readonly runsDir: string;
}

/**
 * The weights that --init names; undefined without it. Rejects as `chooseModel` does, and with DATA
 * if a weight is not finite.
 */
export async function chooseInit({ init, runsDir }: InitOptions): Promise<ChosenInit | undefined> {
  if (init === undefined) return undefined;
  const policy = systemRetryPolicy(new AbortController().signal, () => undefined);
  const { name, configuration, weights } = await chooseModel(init, runsDir, policy);
  if (!weights.every(Number.isFinite))
    throw new ClusterError('DATA', `${name} has weights that are not finite (--init)`, {
      fix: 'begin with the weights of a run that did not diverge',
    });
  return { name, model: configuration.model, weights, digest: weightsDigest(weights) };
}

/** Throws USAGE, with both models, if the weights are not those of the run's model. */
export function checkInitModel({ name, model: theirs }: ChosenInit, ours: ModelShape): void {
  if (isSameModel(ours, theirs)) return;
  throw new ClusterError(
    'USAGE',
    `${name} has another model than this run (--init): ${modelSummary(theirs)}; ` +
      `this run: ${modelSummary(ours)}`,
    {
      fix:
        'train its model (--model, --hidden), or begin with weights of this one; ' +
        '`mnist-dist model` prints the layers of a model',
    },
  );
}

/** How an explicit --init differs from the weights that the resumed run began with. */
export async function differingInit(
  options: InitOptions,
  recorded: Pick<Configuration, 'init'>,
): Promise<string[]> {
  const chosen = await chooseInit(options);
  if (chosen === undefined || chosen.digest === recorded.init) return [];
  const began = recorded.init === undefined ? 'unset' : shortDigest(recorded.init);
  return [`${flagOf('init')} ${began}, not ${shortDigest(chosen.digest)} (${chosen.name})`];
}
