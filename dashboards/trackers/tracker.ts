import type { EvaluationReport, RunViewer, StepReport } from '../../coordinator/viewer.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { recipeSettings, type Configuration } from '../../shared/configuration.ts';
import { TRACKED_SPEED_MILLISECONDS } from '../../shared/limits/tracker.ts';

/** Tells the user something about a tracker. */
export type Tell = (level: 'info' | 'warn', message: string) => void;

/** Records a run for another program while the run trains. It can neither stop nor slow the run. */
export interface Tracker {
  /** The name of the other program. */
  readonly name: string;
  readonly viewer: RunViewer;
  /**
   * Writes what is left once the run has ended, within time limits and until `hurry` is aborted.
   * Does not reject.
   */
  close(hurry: AbortSignal): Promise<void>;
}

/** The names of the values, the same for all trackers. */
export const metricNames = {
  loss: { train: 'loss/train', validation: 'loss/validation', test: 'loss/test' },
  accuracy: {
    train: 'accuracy/train',
    validation: 'accuracy/validation',
    test: 'accuracy/test',
  },
  learningRate: 'training/learning_rate',
  stepsPerSecond: 'training/steps_per_second',
  gradientNorm: 'training/gradient_norm',
} as const satisfies Record<string, string | Record<EvaluatedSet | 'train', string>>;

/** What is tracked of an evaluation. */
export type EvaluationFacts = Pick<
  EvaluationReport,
  'set' | 'step' | 'loss' | 'correct' | 'samples'
>;

/** A name and its value. */
export type Scalar = readonly [string, number];

/** The values of a step that are not always known: the speed, and the norm of the gradient. */
export class OccasionalScalars {
  readonly #clock: () => number;
  /** Whether the norm is known without computing it, because the gradient is clipped. */
  readonly #isNormKnown: boolean;
  #last: { readonly step: number; readonly at: number } | undefined;

  constructor(clock: () => number, { clipNorm }: Pick<Configuration, 'clipNorm'>) {
    this.#clock = clock;
    this.#isNormKnown = clipNorm !== undefined;
  }

  of({ step, gradientNorm }: Pick<StepReport, 'step' | 'gradientNorm'>): Scalar[] {
    const at = this.#clock();
    const last = (this.#last ??= { step, at });
    const isDue = at - last.at >= TRACKED_SPEED_MILLISECONDS;
    const isFirst = last.step === step;
    const values: Scalar[] = [];
    if (isDue) {
      values.push([metricNames.stepsPerSecond, (1000 * (step - last.step)) / (at - last.at)]);
      this.#last = { step, at };
    }
    if (!isDue && !isFirst && !this.#isNormKnown) return values;
    const norm = gradientNorm();
    if (Number.isFinite(norm)) values.push([metricNames.gradientNorm, norm]);
    return values;
  }
}

/**
 * The settings on which the bytes of a run depend, by their names in run.json: numbers where they
 * are numbers, everything else as texts.
 */
export function trackedSettings(configuration: Configuration): Map<string, string | number> {
  const { epochs, steps } = configuration;
  const length = steps === undefined ? { epochs } : { steps };
  const settings = new Map<string, string | number>();
  for (const [key, text] of [...recipeSettings(configuration), ...Object.entries(length)]) {
    const isNumber = typeof text === 'number' || /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(text);
    settings.set(key, isNumber && !['dataset', 'init'].includes(key) ? Number(text) : text);
  }
  return settings;
}
