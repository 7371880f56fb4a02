import { ClusterError } from '../../shared/errors.ts';
import { shortened } from '../terminal/styled-line.ts';
import type { OptionKey } from './options.ts';
import { namesOf, optionKeys, variableOf } from './options.ts';
import type { Given } from './origin.ts';
import { givenByEnvironment } from './origin.ts';
import { didYouMean } from './suggest.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Variables that are no options. What processes of one run pass to each other begins with
 * MNIST_DIST_INTERNAL_.
 */
export const otherVariables = {
  MNIST_DIST_CACHE:
    'folder for TensorFlow, builds and fetched datasets (without it: $XDG_CACHE_HOME/mnist-dist)',
  MNIST_DIST_TOKEN: 'the shared token itself, instead of --token-file',
} as const;

const INTERNAL_PREFIX = 'MNIST_DIST_INTERNAL_';
/**
 * What Kubernetes, and Docker with --link, set for a service whose name begins with mnist-dist:
 * MNIST_DIST_METRICS_SERVICE_HOST, MNIST_DIST_METRICS_PORT_9464_TCP_ADDR. MNIST_DIST_METRICS_PORT
 * is one where it holds a URL.
 */
const SERVICE_LINK =
  /^MNIST_DIST_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/;
const SERVICE_URL = /^(tcp|udp|sctp):\/\/\S+:\d+$/;

/**
 * What the environment says about options. An empty variable is an unset one; an unknown
 * MNIST_DIST_ name an error.
 */
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
        `${given.shown} and ${other.shown} are the same option with two values`,
        {
          fix: 'Keep one of them.',
        },
      );
    }
    found.set(target.key, given);
  }
  return found;
}

/** Settings of npm itself that are called like options. */
const npmSettings = new Set(['audit', 'cpu', 'json', 'offline', 'progress']);

/**
 * `npm start --resume` gives --resume to npm, which hands it on as a variable that nothing else
 * shows: the run would be another one than was asked for. Throws USAGE.
 */
export function refuseTakenByNpm(keys: readonly OptionKey[], environment: Environment): void {
  if (environment['npm_lifecycle_event'] !== 'start') return;
  const names = keys.flatMap((key) => namesOf(key)).filter((name) => !npmSettings.has(name));
  const taken = names.find(
    (name) => environment[`npm_config_${name.replaceAll('-', '_')}`] !== undefined,
  );
  if (taken === undefined) return;
  throw new ClusterError('USAGE', `npm took --${taken} for itself, and did not hand it on`, {
    fix: `put two dashes before the options: npm start -- --${taken}`,
  });
}

/** A container platform has set it; it says nothing about options. */
function isServiceLink(variable: string, text: string): boolean {
  return SERVICE_LINK.test(variable) || (variable.endsWith('_PORT') && SERVICE_URL.test(text));
}

function refuseUnknown(variable: string, known: readonly string[]): void {
  if (Object.hasOwn(otherVariables, variable) || variable.startsWith(INTERNAL_PREFIX)) return;
  throw new ClusterError(
    'USAGE',
    `the environment variable ${shortened(variable, 80)} is not known`,
    {
      fix: `${didYouMean(variable, known)}Variables are named as flags: --batch-size is MNIST_DIST_BATCH_SIZE.`,
    },
  );
}
