import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { podSpec } from '../../fixtures/deploy/container.ts';
import type { Manifest } from '../../fixtures/deploy/kustomize.ts';

export const labels = z.record(z.string(), z.string());
export type Labels = z.infer<typeof labels>;

const failureRule = z.union([
  z.strictObject({
    action: z.literal('Ignore'),
    onPodConditions: z.tuple([
      z.strictObject({ type: z.literal('DisruptionTarget'), status: z.literal('True') }),
    ]),
  }),
  z.strictObject({
    action: z.enum(['Ignore', 'FailIndex', 'FailJob']),
    onExitCodes: z.strictObject({
      containerName: z.string(),
      operator: z.literal('In'),
      values: z.array(z.int()),
    }),
  }),
]);
const job = z.looseObject({
  metadata: z.looseObject({ labels }),
  spec: z.looseObject({
    completions: z.int(),
    parallelism: z.int(),
    completionMode: z.literal('Indexed').optional(),
    backoffLimit: z.int().optional(),
    backoffLimitPerIndex: z.int().optional(),
    successPolicy: z
      .strictObject({ rules: z.tuple([z.strictObject({ succeededCount: z.literal(1) })]) })
      .optional(),
    podReplacementPolicy: z.literal('Failed'),
    podFailurePolicy: z.strictObject({ rules: z.array(failureRule) }),
    template: z.looseObject({ metadata: z.looseObject({ labels }), spec: podSpec }),
  }),
});
/** A JobSet as a whole. Its Jobs have the schema above. */
export const jobSet = z.looseObject({
  apiVersion: z.literal('jobset.x-k8s.io/v1alpha2'),
  spec: z.strictObject({
    // Workers use the Service manifest, so the JobSet must not create another service.
    network: z.strictObject({ enableDNSHostnames: z.literal(false) }),
    successPolicy: z.strictObject({
      operator: z.literal('All'),
      targetReplicatedJobs: z.array(z.string()),
    }),
    replicatedJobs: z.array(
      z.strictObject({ name: z.string(), replicas: z.literal(1), template: job }),
    ),
  }),
});

/** A Job, on its own or in a JobSet. */
export interface Workload extends z.infer<typeof job> {
  readonly name: string;
  /** The labels of its pods. */
  readonly labels: Labels;
}

export function workloadsOf(manifests: readonly Manifest[]): Workload[] {
  return manifests.flatMap((manifest) => {
    if (manifest.kind === 'Job') return workload(manifest.metadata.name, job.parse(manifest));
    if (manifest.kind !== 'JobSet') return [];
    return jobSet
      .parse(manifest)
      .spec.replicatedJobs.map(({ name, template }) =>
        workload(`${manifest.metadata.name}-${name}-0`, template),
      );
  });
}

function workload(name: string, template: z.infer<typeof job>): Workload {
  return { ...template, name, labels: template.spec.template.metadata.labels };
}

export const selector = z.strictObject({
  matchLabels: labels.default({}),
  matchExpressions: z
    .array(
      z.strictObject({ key: z.string(), operator: z.literal('In'), values: z.array(z.string()) }),
    )
    .default([]),
});
export type Selector = z.infer<typeof selector>;

export function selects({ matchLabels, matchExpressions }: Selector, found: Labels): boolean {
  return (
    Object.entries(matchLabels).every(([label, value]) => found[label] === value) &&
    matchExpressions.every(({ key, values }) => values.includes(found[key] ?? ''))
  );
}

/** Whether a selector contains all labels of these pods, and so does not select others. */
export function isFor({ matchLabels, matchExpressions }: Selector, pods: Labels): boolean {
  return matchExpressions.length === 0 && isDeepStrictEqual(matchLabels, pods);
}

/** The problems whose condition is false. */
export function problems(prefix: string, checks: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(checks).flatMap(([problem, holds]) => (holds ? [] : `${prefix}${problem}`));
}
