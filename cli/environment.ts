import { ClusterError } from '../shared/errors.ts';
import { shortened } from './line.ts';
import type { OptionKey } from './options.ts';
import { namesOf, optionKeys, variableOf } from './options.ts';
import type { Given } from './origin.ts';
import { givenByEnvironment } from './origin.ts';
import { didYouMean } from './suggest.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables that are no options. What processes of one run pass to each other begins with MNIST_DIST_INTERNAL_. */
export const otherVariables = {
  MNIST_DIST_CACHE:
    'folder for TensorFlow, builds and fetched datasets (without it: $XDG_CACHE_HOME/mnist-dist)',
  MNIST_DIST_TOKEN: 'the shared token itself, instead of --token-file',
} as const;

const INTERNAL_PREFIX = 'MNIST_DIST_INTERNAL_';
// What Kubernetes sets for a service named mnist-dist, MNIST_DIST_PORT aside: that one hits an option and is told.
const SERVICE_LINK = /^MNIST_DIST_(SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$/;

/** What the environment says about options. An empty variable is an unset one; an unknown MNIST_DIST_ name an error. */
export function readEnvironment(environment: Environment): Map<OptionKey, Given> {
  const keyOfVariable = new Map(
    optionKeys.flatMap((key) => namesOf(key).map((name) => [variableOf(name), { key, name }] as const)),
  );
  const found = new Map<OptionKey, Given>();
  for (const [variable, text] of Object.entries(environment)) {
    if (!variable.startsWith('MNIST_DIST_') || text === undefined || text === '') continue;
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

function refuseUnknown(variable: string, known: readonly string[]): void {
  if (Object.hasOwn(otherVariables, variable) || variable.startsWith(INTERNAL_PREFIX)) return;
  if (SERVICE_LINK.test(variable)) return;
  throw new ClusterError('USAGE', `the environment variable ${shortened(variable, 80)} is not known`, {
    fix: `${didYouMean(variable, known)}Variables are named as flags: --batch-size is MNIST_DIST_BATCH_SIZE.`,
  });
}
