import { join } from 'node:path';
import { z } from 'zod';
import { readEntry } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { writeWhole } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { engineKinds } from '../../shared/engine-identity.ts';
import { RUN_ID, SWEEP_FILE } from '../../shared/files/run-layout.ts';
import { MAX_SWEEP_RECORD_BYTES, MAX_TRIALS } from '../../shared/limits/sweep.ts';
import { issuesOf } from '../../shared/schema.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { kebab, optionOf, type OptionKey } from '../options/options.ts';
import { parseGiven, type Given } from '../options/origin.ts';
import type { SweepFile } from './sweep-file.ts';
import type { Trial } from './trials.ts';

const texts = z.record(z.string(), z.string());

/** sweep.json: what a sweep was started with. How its trials went is in their run directories. */
const sweepRecordSchema = z.strictObject({
  format: z.literal(1),
  version: z.string().max(32).describe('The version of mnist-dist.'),
  search: z.enum(['grid', 'random']),
  seed: z.int().min(0).optional().describe('Of a random search.'),
  engine: z.enum(engineKinds).describe('The kind of engine of all workers.'),
  stop_after: z.int().min(1).optional().describe('The value of --stop-after.'),
  options: texts.describe('The options of all trials, as the file sets them.'),
  vary: z.array(z.string()).describe('The options that differ between trials.'),
  trials: z.array(z.strictObject({ run: z.string().regex(RUN_ID), values: texts })).max(MAX_TRIALS),
});

export type SweepRecord = z.infer<typeof sweepRecordSchema>;

/** The record of a new sweep. */
export function sweepRecordOf(
  { search, options, vary }: SweepFile,
  trials: readonly Trial[],
  { version, engine, stop_after }: Pick<SweepRecord, 'version' | 'engine' | 'stop_after'>,
): SweepRecord {
  return {
    format: 1,
    version,
    search: search.kind,
    ...(search.kind === 'random' ? { seed: search.seed } : {}),
    engine,
    ...(stop_after === undefined ? {} : { stop_after }),
    options: textsOf(options),
    vary: vary.map(({ name }) => name),
    trials: trials.map(({ run, values }) => ({ run, values: textsOf(values) })),
  };
}

/** The texts of options by their main names, as the options themselves write them. */
export function textsOf(given: ReadonlyMap<OptionKey, Given>): Record<string, string> {
  return Object.fromEntries(
    [...given].map(([key, each]) => [
      kebab(key),
      optionOf(key).type.format(parseGiven(key, each) ?? ''),
    ]),
  );
}

/** The record in a sweep's folder; undefined if there is none. Rejects with DATA. */
export async function readSweepRecord(directory: string): Promise<SweepRecord | undefined> {
  const path = join(directory, SWEEP_FILE);
  let json: unknown;
  try {
    const limit = { name: 'MAX_SWEEP_RECORD_BYTES', bytes: MAX_SWEEP_RECORD_BYTES };
    json = JSON.parse((await readEntry(path, limit)).toString('utf8'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const parsed = sweepRecordSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ClusterError('DATA', `${path} is not a sweep: ${issuesOf(parsed.error)}`, {
    fix: 'restore the file, or begin a new sweep (--run-id)',
  });
}

export async function writeSweepRecord(directory: string, record: SweepRecord): Promise<void> {
  await writeWhole(join(directory, SWEEP_FILE), `${JSON.stringify(record, undefined, 2)}\n`);
}

/**
 * Throws USAGE, with what differs, unless the file describes the recorded sweep. It may have more
 * trials than before, after the recorded ones.
 */
export function checkSameSweep(directory: string, ours: SweepRecord, recorded: SweepRecord): void {
  const differing = [
    ...differences({ search: ours.search }, { search: recorded.search }),
    ...differences(settingsOf(ours), settingsOf(recorded)),
    ...differences(ours.options, recorded.options),
    ...(ours.vary.join() === recorded.vary.join()
      ? differingTrials(ours, recorded)
      : [`vary: ${recorded.vary.join(', ')}, not ${ours.vary.join(', ')}`]),
  ];
  if (differing.length === 0) return;
  const shown = differing.slice(0, MAX_SHOWN_DIFFERENCES);
  const others = differing.length - shown.length;
  throw new ClusterError(
    'USAGE',
    `${directory} was started as another sweep: ${shown.join('; ')}` +
      (others === 0 ? '' : `; and ${others} more`),
    {
      fix:
        `restore that to continue the sweep, or set --run-id to begin a new one; ` +
        `${shellPath(join(directory, SWEEP_FILE))} has its options`,
    },
  );
}

const MAX_SHOWN_DIFFERENCES = 5;

function settingsOf({ seed, stop_after: stopAfter }: SweepRecord): Record<string, string> {
  return {
    ...(seed === undefined ? {} : { seed: String(seed) }),
    ...(stopAfter === undefined ? {} : { '--stop-after': String(stopAfter) }),
  };
}

function differingTrials(ours: SweepRecord, recorded: SweepRecord): string[] {
  if (ours.trials.length < recorded.trials.length)
    return [`${recorded.trials.length} trials, not ${ours.trials.length}`];
  return recorded.trials.flatMap(({ run, values }, i) =>
    differences(ours.trials[i]?.values ?? {}, values).map((each) => `${run} has ${each}`),
  );
}

/** Such as "epochs 2, not 3", with the recorded value first. */
function differences(
  ours: Readonly<Record<string, string>>,
  recorded: Readonly<Record<string, string>>,
): string[] {
  const names = new Set([...Object.keys(recorded), ...Object.keys(ours)]);
  return [...names].flatMap((name) =>
    ours[name] === recorded[name]
      ? []
      : [`${name} ${recorded[name] ?? 'unset'}, not ${ours[name] ?? 'unset'}`],
  );
}
