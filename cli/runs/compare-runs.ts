import { basename, join } from 'node:path';
import { metricsOf } from '../../coordinator/run-directory/run-contents.ts';
import {
  canonicalRecipe,
  configurationOfRecord,
  type Configuration,
} from '../../shared/configuration.ts';
import { settingDifferences, type SettingDifference } from '../../shared/setting-differences.ts';
import { MetricsReader, type MetricsLine, type StepLine } from '../../shared/files/metrics.ts';
import { METRICS_FILE } from '../../shared/files/run-layout.ts';
import { readRecordedRun, type RunOverview } from './run-overview.ts';

/** Several runs, next to each other. All arrays have the order of the runs. */
export interface Comparison {
  readonly runs: readonly ComparedRun[];
  /** The settings that the runs do not have in common. */
  readonly differences: readonly SettingDifference[];
  /** Pairs of runs with the same recipe: the first such run, and another. */
  readonly pairs: readonly SameRecipe[];
}

export interface ComparedRun extends RunOverview {
  readonly stepsPerSecond: number | undefined;
}

/** Two runs with the same recipe compute the same steps, until the shorter one ends. */
export interface SameRecipe {
  readonly runs: readonly [string, string];
  /** The number of steps that both runs recorded, up to the first difference. */
  readonly equalSteps: number;
  /** The first step whose results differ; undefined if none does. */
  readonly difference: StepDifference | undefined;
  /** Why no further step could be compared: "line 7 of r/metrics.jsonl is damaged: ...". */
  readonly damage: string | undefined;
}

export interface StepDifference {
  readonly step: number;
  /** Loss, correct predictions and checksum of the weights in each run, as recorded. */
  readonly recorded: readonly [RecordedStep, RecordedStep];
}

export type RecordedStep = Pick<StepLine, 'loss' | 'correct' | 'weights'>;

interface Loaded {
  readonly run: ComparedRun;
  readonly configuration: Configuration;
}

/**
 * Compares runs by what they recorded; `now` is Unix milliseconds. Rejects with DATA if a run
 * cannot be read.
 */
export async function compareRuns(
  directories: readonly string[],
  now: number,
): Promise<Comparison> {
  const loaded: Loaded[] = [];
  for (const directory of directories) loaded.push(await load(directory, now));
  const pairs: SameRecipe[] = [];
  for (const [first, other] of sameRecipes(loaded)) pairs.push(await comparePair(first, other));
  const differences = settingDifferences(loaded.map(({ configuration }) => configuration));
  return { runs: loaded.map(({ run }) => run), differences, pairs };
}

async function load(directory: string, now: number): Promise<Loaded> {
  const { overview, record } = await readRecordedRun(directory, basename(directory), now);
  return {
    run: { ...overview, stepsPerSecond: record.result?.steps_per_second ?? undefined },
    configuration: configurationOfRecord(record.configuration),
  };
}

/** Each run that has the recipe of an earlier one, paired with the first run of that recipe. */
function sameRecipes(loaded: readonly Loaded[]): (readonly [ComparedRun, ComparedRun])[] {
  const firsts = new Map<string, ComparedRun>();
  return loaded.flatMap(({ run, configuration }) => {
    const recipe = canonicalRecipe(configuration);
    const first = firsts.get(recipe);
    if (first === undefined) firsts.set(recipe, run);
    return first === undefined ? [] : [[first, run] as const];
  });
}

/** The chain links of two runs are equal up to the first step that differs. */
async function comparePair(first: ComparedRun, other: ComparedRun): Promise<SameRecipe> {
  const runs = [first.name, other.name] as const;
  const [ours, theirs] = [new RecordedSteps(first), new RecordedSteps(other)];
  try {
    for (let equalSteps = 0; ; equalSteps++) {
      const [a, b] = [await ours.next(), await theirs.next()];
      if (a === undefined || b === undefined) {
        const damage = ours.damage ?? theirs.damage;
        return { runs, equalSteps, difference: undefined, damage };
      }
      if (a.chain === b.chain) continue;
      const recorded = [recordedStep(a), recordedStep(b)] as const;
      return { runs, equalSteps, difference: { step: a.step, recorded }, damage: undefined };
    }
  } finally {
    await ours.close();
    await theirs.close();
  }
}

/** A run's steps, up to the first line that is damaged. */
class RecordedSteps {
  readonly #path: string;
  readonly #reader = new MetricsReader();
  readonly #lines: AsyncGenerator<MetricsLine, void>;

  constructor({ directory }: ComparedRun) {
    this.#path = join(directory, METRICS_FILE);
    this.#lines = metricsOf(directory, this.#reader);
  }

  get damage(): string | undefined {
    const { bad } = this.#reader;
    return bad && `line ${bad.line} of ${this.#path} is damaged: ${bad.reason}`;
  }

  async next(): Promise<StepLine | undefined> {
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done === true) return undefined;
      if (value.kind === 'step') return value;
    }
  }

  async close(): Promise<void> {
    await this.#lines.return();
  }
}

function recordedStep({ loss, correct, weights }: StepLine): RecordedStep {
  return { loss, correct, weights };
}
