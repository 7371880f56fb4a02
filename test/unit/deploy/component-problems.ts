import { z } from 'zod';
import { nameOf, type Manifest } from '../../fixtures/deploy/kustomize.ts';
import type { Outside } from './problems.ts';
import { isFor, jobSet, problems, selector, selects, type Workload } from './workloads.ts';

/** The facts about the coordinator and the workers that optional manifests depend on. */
export interface Cluster {
  readonly manifests: readonly Manifest[];
  readonly coordinator: Workload;
  readonly workers: readonly Workload[];
  /** The page's port, and how long the page serves its last values. */
  readonly httpPort: number;
  readonly lingerSeconds: number;
}

/** The problems in the manifests that components add. */
export function componentProblems(cluster: Cluster, outside: Outside): string[] {
  return [
    ...budgetProblems(cluster),
    ...monitorProblems(cluster, outside),
    ...spreadProblems(cluster),
    ...queueProblems(cluster),
    ...jobSetProblems(cluster),
  ];
}

const budget = z.looseObject({
  // For a Job's pods, only an integer is possible.
  spec: z.strictObject({
    minAvailable: z.int().min(1),
    unhealthyPodEvictionPolicy: z.literal('AlwaysAllow'),
    selector,
  }),
});

function budgetProblems({ manifests, coordinator, workers }: Cluster): string[] {
  const found = manifests.filter(({ kind }) => kind === 'PodDisruptionBudget');
  const protectedPods = found.map((each) => {
    const { minAvailable, selector: chosen } = budget.parse(each).spec;
    const pods = [coordinator, ...workers].filter(({ labels }) => isFor(chosen, labels));
    return { name: nameOf(each), minAvailable, pods };
  });
  return [
    ...protectedPods.flatMap(({ name, minAvailable, pods }) =>
      problems(`${name}: `, {
        'it does not select exactly one Job': pods.length === 1,
        'it requires more pods than its Job has': pods.every(
          ({ spec }) => minAvailable <= spec.parallelism,
        ),
      }),
    ),
    ...problems('', {
      'a Job does not have exactly one disruption budget':
        found.length === 0 ||
        [coordinator, ...workers].every(
          (each) => protectedPods.filter(({ pods }) => pods.includes(each)).length === 1,
        ),
    }),
  ];
}

const keyOf = z.strictObject({ name: z.string(), key: z.string() });
const monitor = z.looseObject({
  spec: z.strictObject({
    selector,
    podMetricsEndpoints: z.tuple([
      z.strictObject({
        port: z.string(),
        path: z.literal('/metrics'),
        scheme: z.literal('https'),
        interval: z.string().regex(/^\d+s$/),
        authorization: z.strictObject({ type: z.literal('Bearer'), credentials: keyOf }),
        tlsConfig: z.strictObject({
          ca: z.strictObject({ secret: keyOf }),
          serverName: z.string(),
        }),
      }),
    ]),
  }),
});

function monitorProblems(
  { manifests, coordinator, workers, httpPort, lingerSeconds }: Cluster,
  { secret, certificateNames }: Outside,
): string[] {
  const found = manifests.filter(({ kind }) => kind === 'PodMonitor');
  return found.flatMap((each) => {
    const { selector: chosen, podMetricsEndpoints } = monitor.parse(each).spec;
    const [{ port, interval, authorization, tlsConfig }] = podMetricsEndpoints;
    const [container] = coordinator.spec.template.spec.containers;
    const { credentials } = authorization;
    return problems(`${nameOf(each)}: `, {
      'it does not select only the coordinator':
        isFor(chosen, coordinator.labels) &&
        workers.every(({ labels }) => !selects(chosen, labels)),
      "its port is not the page's":
        container.ports.find(({ name }) => name === port)?.containerPort === httpPort,
      'its interval is longer than the last values are served':
        Number.parseInt(interval, 10) < lingerSeconds,
      'its token is not in the secret':
        credentials.name === secret.name &&
        credentials.key === 'http-token' &&
        secret.keys.includes(credentials.key),
      'its authority is not in the secret':
        tlsConfig.ca.secret.name === secret.name &&
        tlsConfig.ca.secret.key === 'ca.crt' &&
        secret.keys.includes(tlsConfig.ca.secret.key),
      'its server name is not in the certificate': certificateNames.includes(tlsConfig.serverName),
    });
  });
}

const spreads = z
  .array(
    z.strictObject({
      maxSkew: z.literal(1),
      topologyKey: z.literal('kubernetes.io/hostname'),
      whenUnsatisfiable: z.literal('ScheduleAnyway'),
      labelSelector: selector,
    }),
  )
  .default([]);

function spreadProblems({ coordinator, workers }: Cluster): string[] {
  const chosen = (each: Workload) =>
    spreads.parse(each.spec.template.spec['topologySpreadConstraints']);
  return problems('', {
    'the coordinator has a spread constraint, but only one pod': chosen(coordinator).length === 0,
    "the workers' spread constraint counts other pods": workers.every((each) =>
      chosen(each).every(
        ({ labelSelector }) =>
          isFor(labelSelector, each.labels) && !selects(labelSelector, coordinator.labels),
      ),
    ),
  });
}

export const QUEUE = 'kueue.x-k8s.io/queue-name';
const labelled = z.looseObject({ labels: z.record(z.string(), z.string()).default({}) });

function queueProblems({ manifests }: Cluster): string[] {
  const queueOf = ({ metadata }: Manifest) => labelled.parse(metadata).labels[QUEUE];
  const isQueued = ({ kind }: Manifest) => kind === 'Job' || kind === 'JobSet';
  const queues = manifests.filter(isQueued).map(queueOf);
  return problems('', {
    'the Jobs are in different queues, or one Job is not in a queue': new Set(queues).size <= 1,
    'a manifest that cannot wait is in a queue': manifests.every(
      (each) => isQueued(each) || queueOf(each) === undefined,
    ),
  });
}

function jobSetProblems({ manifests, coordinator }: Cluster): string[] {
  const found = manifests.filter(({ kind }) => kind === 'JobSet');
  return found.flatMap((each) => {
    const { replicatedJobs, successPolicy } = jobSet.parse(each).spec;
    const name = replicatedJobs.find(
      ({ name: own }) => coordinator.name === `${each.metadata.name}-${own}-0`,
    )?.name;
    return problems(`${nameOf(each)}: `, {
      'there is a further JobSet or Job':
        found.length === 1 && manifests.every(({ kind }) => kind !== 'Job'),
      'it does not end with the coordinator': successPolicy.targetReplicatedJobs.join() === name,
    });
  });
}
