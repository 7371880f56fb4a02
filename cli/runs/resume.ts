import { lstatSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  newestUnfinished,
  readRunRecord,
  refuseOldArithmetic,
} from '../../coordinator/run-directory/read-run.ts';
import { configurationOfRecord, type Configuration } from '../../shared/configuration.ts';
import { conversionOf } from '../../shared/dataset/own-dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { RunRecord } from '../../shared/files/run-schema.ts';
import { stepsPerEpoch, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { differingModel } from '../models/resumed-model.ts';
import { differingInit } from './choose-init.ts';
import { chooseRun } from './choose-run.ts';
import {
  flagOf,
  isOptionKey,
  optionOf,
  type CoordinatorOptions,
  type LocalOptions,
  type OptionKey,
} from '../options/options.ts';
import { engineInEvents, engineOfRun, engineToKeep } from './run-engine.ts';
import { withSteps } from './recipe-options.ts';
import { recipeOptions } from './run-settings.ts';
import { comparableSplit } from './validation-split.ts';

/**
 * The options for a resumed run. The recipe, the engine and the audit rate come from the run's
 * record, and so does the length unless one is given; the model and the initial weights are read
 * where they are needed. `resume` becomes the run's directory. Rejects with USAGE if the run does
 * not exist or an explicit option differs from the run's.
 */
export async function adoptRun<O extends LocalOptions | CoordinatorOptions>(
  options: O,
  explicit: ReadonlySet<OptionKey>,
): Promise<O> {
  const { resume } = options;
  if (resume === undefined) return options;
  if (explicit.has('runId'))
    throw new ClusterError(
      'USAGE',
      '--run-id names a new run, but --resume refers to an existing one',
      {
        fix: 'use only one of them',
      },
    );
  const { runsDir } = options;
  const directory = withoutLink(
    resume === 'newest' ? await newestUnfinished(runsDir) : chooseRun(resume, runsDir),
  );
  const record = await readRunRecord(directory);
  refuseOldArithmetic(record, directory);
  const recorded = configurationOfRecord(record.configuration);
  // The options that the run's record contains, except the run's length.
  const { imageSize, testSplit } = conversionOf(record.launch);
  const values = { ...recipeOptions(recorded), imageSize, testSplit };
  const trust = trustOf(options, explicit, record.launch);
  // A coordinator has no engine; with --allow-mixed-engines any engine may join.
  const keepsEngine = 'engine' in options && !trust.allowMixedEngines;
  const ran = keepsEngine ? record.engine?.description : undefined;
  const known = keepsEngine ? (ran ?? (await engineInEvents(directory))) : undefined;
  const engine = 'engine' in options ? engineOfRun(known, options, explicit) : {};
  const fixed = ran !== undefined && 'engine' in options ? engineToKeep(ran, options) : {};
  const comparable = {
    ...withSteps(options, stepsPerEpoch(recorded)),
    validationSplit: comparableSplit(options.validationSplit, recorded),
  };
  const differing = [
    ...differingModel(options, explicit, recorded.model),
    ...(await differingInit(options, recorded)),
  ];
  checkAlike(comparable, explicit, { ...values, ...fixed }, differing, directory);
  const isLengthGiven = explicit.has('epochs') || explicit.has('steps');
  if (isLengthGiven)
    checkLonger({ ...recorded, epochs: options.epochs, steps: options.steps }, recorded, directory);
  const length = isLengthGiven ? {} : { epochs: recorded.epochs, steps: recorded.steps };
  const init = undefined;
  return { ...options, ...values, ...engine, ...trust, ...length, init, resume: directory };
}

/** The run directory itself, for a link to one: a run keeps its name. */
function withoutLink(directory: string): string {
  // A slash at the end would lead through the link.
  const isLink = lstatSync(resolve(directory), { throwIfNoEntry: false })?.isSymbolicLink();
  return isLink === true ? realpathSync(directory) : directory;
}

/**
 * The audit rate comes from the record, unless an option overrides it. Engines may be mixed if the
 * record or an option allows it. Throws USAGE if a run with mixed engines would be audited.
 */
function trustOf(
  options: Pick<CoordinatorOptions, 'audit' | 'allowMixedEngines'>,
  explicit: ReadonlySet<OptionKey>,
  launch: RunRecord['launch'],
): Pick<CoordinatorOptions, 'audit' | 'allowMixedEngines'> {
  const wasMixed = launch['allow_mixed_engines'] === true;
  const { audit: before } = launch;
  const isKept = !explicit.has('audit') && !options.allowMixedEngines && typeof before === 'number';
  const audit = isKept ? before : options.audit;
  if (audit > 0 && wasMixed) {
    throw new ClusterError(
      'USAGE',
      '--audit compares bytes, but the run was started with --allow-mixed-engines',
      { fix: 'leave out --audit' },
    );
  }
  return { audit, allowMixedEngines: options.allowMixedEngines || wasMixed };
}

/** Throws USAGE if the new length is shorter than the recorded length. */
function checkLonger(given: Configuration, recorded: Configuration, directory: string): void {
  const [now, before] = [totalSteps(given), totalSteps(recorded)];
  if (now >= before) return;
  throw new ClusterError(
    'USAGE',
    `the run ${directory} has ${before} steps; ${now} would make it shorter (--resume)`,
    {
      fix: 'raise --steps or --epochs, or leave them out',
    },
  );
}

/** Throws USAGE, listing all explicit options that differ from the run's, each with both values. */
function checkAlike(
  options: Readonly<Record<string, unknown>>,
  explicit: ReadonlySet<OptionKey>,
  recorded: Readonly<Record<string, unknown>>,
  differingLayers: readonly string[],
  directory: string,
): void {
  const others = Object.entries(recorded).flatMap(([key, value]) => {
    if (!isOptionKey(key) || !explicit.has(key)) return [];
    const { type } = optionOf(key);
    const textOf = (each: unknown) => (each === undefined ? 'unset' : type.format(each ?? ''));
    const [ours, theirs] = [textOf(options[key]), textOf(value)];
    return ours === theirs ? [] : [`${flagOf(key)} ${theirs}, not ${ours}`];
  });
  const differing = [...differingLayers, ...others];
  if (differing.length === 0) return;
  throw new ClusterError(
    'USAGE',
    `the run ${directory} has different settings: ${differing.join('; ')}`,
    {
      fix:
        `leave ${explicit.has('recipe') ? 'them and --recipe' : 'them'} out: a run keeps its ` +
        'settings; only --epochs and --steps can be raised',
    },
  );
}
