import type { CommandName, OptionKey } from '../options/options.ts';
import { flagOf, keysOf, kebab, takes } from '../options/options.ts';
import { refused } from '../options/yaml-file.ts';

/** Options of a training that a sweep sets itself, or that make no sense for a trial. */
const ownOptions: ReadonlySet<OptionKey> = new Set<OptionKey>([
  'resume',
  'takeOver',
  'host',
  'port',
  'advertise',
  'announce',
  'sslCertfile',
  'sslKeyfile',
  'tokenFile',
  'insecure',
  'minWorkers',
  'startWorkers',
  'maxWorkers',
  'trace',
  'traceSteps',
  'httpHost',
  'httpSslCertfile',
  'httpSslKeyfile',
  'httpTokenFile',
  'httpLinger',
]);

/** Options that may have the same value in all trials, but not one for each. */
const commonOnly: ReadonlySet<OptionKey> = new Set<OptionKey>([
  'recipe',
  'checkpointEvery',
  'keep',
  'rdzvTimeout',
  'sharedMemory',
  'spin',
  'audit',
  'allowMixedEngines',
  'tensorboard',
  'mlflow',
  'artifacts',
  'pictures',
]);

/** The command whose options a trial has; the sweep starts the workers itself. */
export const TRIAL_COMMAND = 'coordinator' satisfies CommandName;

/** The options that a sweep file may set for all trials. */
export const commonKeys: readonly OptionKey[] = keysOf(TRIAL_COMMAND).filter(
  (key) => !ownOptions.has(key) && !takes('sweep', key),
);

/** The options that a sweep file may vary. */
export const variedKeys: readonly OptionKey[] = commonKeys.filter((key) => !commonOnly.has(key));

/** Throws USAGE if a sweep file may not set this option, or may not vary it. */
export function checkKey(key: OptionKey, use: 'options' | 'vary', at: string): void {
  if ((use === 'vary' ? variedKeys : commonKeys).includes(key)) return;
  const name = kebab(key);
  if (takes('sweep', key))
    throw refused(
      at,
      `${name} is not an option of a trial, but of the whole sweep`,
      `leave it out, and set ${flagOf(key)} on the command line`,
    );
  if (commonOnly.has(key))
    throw refused(
      at,
      `${name} cannot be varied: it does not affect the result`,
      'set it once, under "options"',
    );
  throw refused(at, `${name} is not an option of a trial`, `allowed: ${namesFor(use)}`);
}

function namesFor(use: 'options' | 'vary'): string {
  return (use === 'vary' ? variedKeys : commonKeys).map(kebab).join(', ');
}
