import { counted } from '../../shared/text/number-format.ts';
import type { CoordinatorOptions, LocalOptions, OptionKey } from './options.ts';
import { flagOf } from './options.ts';
import { notAllowed, type GivenOf } from './origin.ts';

type RecipeOptions = LocalOptions | CoordinatorOptions;

/** Options that only some optimizers and some schedules have; others must not be given. */
const optimizerOnly: readonly [OptionKey & keyof RecipeOptions, readonly string[]][] = [
  ['beta1', ['adam', 'adamw']],
  ['beta2', ['adam', 'adamw']],
  ['epsilon', ['adam', 'adamw']],
  ['momentum', ['sgd']],
];
const scheduleOnly: readonly [OptionKey & keyof RecipeOptions, readonly string[]][] = [
  ['lrDecay', ['step', 'exponential']],
  ['lrDecayEvery', ['step', 'exponential']],
  ['lrHorizon', ['cosine']],
  ['lrFinal', ['cosine']],
  ['lrBoundaries', ['piecewise']],
  ['lrRates', ['piecewise']],
];

/**
 * Checks that the options of the optimizer and of the schedule belong to the chosen ones. A resumed
 * run keeps its recipe, with which its options are compared later.
 */
export function checkRecipe(options: RecipeOptions, given: GivenOf): void {
  if (options.resume !== undefined) return;
  checkOwn('optimizer', optimizerOnly, options, given);
  checkOwn('lrSchedule', scheduleOnly, options, given);
  const { optimizer, momentum = 0, nesterov, weightDecay } = options;
  if (nesterov && (optimizer !== 'sgd' || momentum === 0)) {
    const fix = 'set --optimizer sgd and a --momentum above 0, such as 0.9';
    throw notAllowed('nesterov', given('nesterov'), fix, 'it needs momentum');
  }
  if (optimizer === 'adam' && weightDecay > 0) {
    const why = `together with ${given('optimizer').shown}`;
    throw notAllowed('weightDecay', given('weightDecay'), 'use --optimizer adamw or sgd', why);
  }
  const { earlyStopping, keepBest, minDelta, validationSplit } = options;
  if (minDelta !== undefined && earlyStopping === undefined && !keepBest) {
    const fix = 'leave it out, or set --early-stopping or --keep-best';
    throw notAllowed('minDelta', given('minDelta'), fix, 'without --early-stopping or --keep-best');
  }
  if (keepBest && validationSplit === undefined) {
    const fix = 'set --validation-split, such as 0.1';
    throw notAllowed('keepBest', given('keepBest'), fix, 'without a validation set');
  }
  if (options.lrSchedule === 'piecewise') checkPieces(options, given);
}

function checkOwn(
  chooser: 'optimizer' | 'lrSchedule',
  owners: typeof optimizerOnly,
  options: RecipeOptions,
  given: GivenOf,
): void {
  for (const [key, kinds] of owners) {
    if (options[key] === undefined || kinds.includes(options[chooser])) continue;
    const fix = `leave it out, or set ${flagOf(chooser)} ${kinds.join(' or ')}`;
    throw notAllowed(key, given(key), fix, `together with ${given(chooser).shown}`);
  }
}

function checkPieces({ lrBoundaries, lrRates }: RecipeOptions, given: GivenOf): void {
  if (lrBoundaries === undefined || lrRates === undefined) {
    const fix = 'such as --lr-boundaries 2epochs,4epochs --lr-rates 0.0005,0.0001';
    const missing = lrBoundaries === undefined ? '--lr-boundaries' : '--lr-rates';
    throw notAllowed('lrSchedule', given('lrSchedule'), fix, `without ${missing}`);
  }
  if (lrBoundaries.length === lrRates.length) return;
  const why = `${counted(lrRates.length, 'rate')} for ${given('lrBoundaries').shown}`;
  throw notAllowed('lrRates', given('lrRates'), 'set one rate for each boundary', why);
}
