import { ClusterError } from '../../shared/errors.ts';
import { shortened } from '../terminal/styled-line.ts';
import type { OptionKey } from './options.ts';
import { namesOf, optionKeys, variableOf } from './options.ts';
import type { Given } from './origin.ts';
import { givenByEnvironment } from './origin.ts';
import { afterSuggestion, didYouMean } from './suggest.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Variables that are not options. The names of those that a run's processes set for each other
 * begin with INTERNAL_PREFIX.
 */
export const otherVariables = {
  MNIST_DIST_CACHE:
    'folder for TensorFlow, builds and fetched datasets (default: $XDG_CACHE_HOME/mnist-dist)',
  MNIST_DIST_TOKEN: 'the shared token, instead of --token-file',
} as const;

const INTERNAL_PREFIX = 'MNIST_DIST_INTERNAL_';
/**
 * Variables that Kubernetes, and Docker with --link, set for a service named mnist-dist...:
 * MNIST_DIST_METRICS_SERVICE_HOST, MNIST_DIST_METRICS_PORT_9464_TCP_ADDR. MNIST_DIST_METRICS_PORT
 * is such a variable as well if its value is a URL.
 */
const SERVICE_LINKS = [
  /^MNIST_DIST_(\w+_)?SERVICE_(HOST|PORT(_\w+)?)$/,
  /^MNIST_DIST_(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/,
];
const SERVICE_URL = /^(tcp|udp|sctp):\/\/\S+:\d+$/;

/** The options in the environment. An empty variable counts as unset. Throws USAGE. */
export function readEnvironment(environment: Environment): Map<OptionKey, Given> {
  const keyOfVariable = new Map(
    optionKeys.flatMap((key) =>
      namesOf(key).map((name) => [variableOf(name), { key, name }] as const),
    ),
  );
  const found = new Map<OptionKey, Given>();
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith('MNIST_DIST_') || text === undefined || text === '') continue;
    if (isServiceLink(variable, text)) continue;
    const target = keyOfVariable.get(variable);
    if (target === undefined) {
      refuseUnknown(variable, [...keyOfVariable.keys(), ...Object.keys(otherVariables)]);
      continue;
    }
    const other = found.get(target.key);
    const given = givenByEnvironment(target.name, text);
    if (other !== undefined && other.text !== text) {
      throw new ClusterError(
        'USAGE',
        `${given.shown} and ${other.shown} set the same option to different values`,
        {
          fix: 'keep one of them',
        },
      );
    }
    found.set(target.key, given);
  }
  return found;
}

/**
 * The environment without the variables of these options, for a child process that gets their
 * values as flags: one that is left out must not come from a variable instead.
 */
export function withoutOptions(keys: readonly OptionKey[], environment: Environment): Environment {
  const variables = new Set(keys.flatMap((key) => namesOf(key).map(variableOf)));
  return Object.fromEntries(
    Object.entries(environment).filter(([variable]) => !variables.has(variable)),
  );
}

/** npm settings that have the same name as an option. */
const npmSettings = new Set(['audit', 'cpu', 'json', 'offline', 'progress']);

/**
 * In `npm start --resume`, npm takes --resume as a setting of its own and the program never sees
 * it, so a new run would start. Only an npm variable reveals this. Throws USAGE.
 */
export function refuseTakenByNpm(keys: readonly OptionKey[], environment: Environment): void {
  if (environment['npm_lifecycle_event'] !== 'start') return;
  const names = keys.flatMap((key) => namesOf(key)).filter((name) => !npmSettings.has(name));
  const taken = names.find(
    (name) => environment[`npm_config_${name.replaceAll('-', '_')}`] !== undefined,
  );
  if (taken === undefined) return;
  throw new ClusterError('USAGE', `npm took --${taken} as its own option and did not pass it on`, {
    fix: `put two dashes before the options: npm start -- --${taken}`,
  });
}

/** Whether a container platform set the variable, in which case it is not an option. */
function isServiceLink(variable: string, text: string): boolean {
  if (variable.endsWith('_PORT') && SERVICE_URL.test(text)) return true;
  return SERVICE_LINKS.some((pattern) => pattern.test(variable));
}

function refuseUnknown(variable: string, known: readonly string[]): void {
  if (Object.hasOwn(otherVariables, variable) || variable.startsWith(INTERNAL_PREFIX)) return;
  throw new ClusterError(
    'USAGE',
    `the environment variable ${shortened(variable, 80)} is unknown`,
    {
      fix: afterSuggestion(
        didYouMean(variable, known),
        "a flag's variable has the same name: --batch-size is MNIST_DIST_BATCH_SIZE",
      ),
    },
  );
}
