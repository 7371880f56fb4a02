import { existsSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { parseCommand, type ParsedCommand } from '../../../cli/program.ts';
import { errorTable, messageOf } from '../../../shared/errors.ts';
import {
  configMapsOf,
  layOut,
  podSpec,
  type Container,
  type PodSpec,
  type Stored,
} from '../../fixtures/deploy/container.ts';
import { nameOf, type Manifest } from '../../fixtures/deploy/kustomize.ts';
import { schemaProblems } from './kubernetes-schema.ts';

/** Facts from the manifests' documentation. */
export interface Outside {
  /** The secret that users create. */
  readonly secret: {
    readonly name: string;
    readonly namespace: string;
    readonly keys: readonly string[];
  };
  /** The names for which users create a certificate. */
  readonly certificateNames: readonly string[];
}

const exitCodes = z.strictObject({
  containerName: z.string(),
  operator: z.literal('In'),
  values: z.array(z.int()),
});
const labels = z.record(z.string(), z.string());
const job = z.looseObject({
  metadata: z.looseObject({ labels }),
  spec: z.looseObject({
    completions: z.int(),
    parallelism: z.int(),
    completionMode: z.literal('Indexed').optional(),
    backoffLimitPerIndex: z.int().optional(),
    successPolicy: z.looseObject({}).optional(),
    podReplacementPolicy: z.literal('Failed'),
    podFailurePolicy: z.looseObject({
      rules: z.array(z.looseObject({ action: z.string(), onExitCodes: exitCodes.optional() })),
    }),
    template: z.looseObject({
      metadata: z.looseObject({ labels }),
      spec: podSpec,
    }),
  }),
});
const service = z.looseObject({
  spec: z.looseObject({
    clusterIP: z.literal('None'),
    selector: labels,
    ports: z.array(z.looseObject({ name: z.string(), port: z.int(), targetPort: z.string() })),
  }),
});
/**
 * What the pod security standard `restricted` demands of a pod and of its container. The container
 * must also have a read-only root file system.
 */
const restrictedPod = z.looseObject({
  runAsNonRoot: z.literal(true),
  runAsUser: z.int().min(1),
  fsGroup: z.int().min(1),
  seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
});
const restrictedContainer = z.strictObject({
  allowPrivilegeEscalation: z.literal(false),
  readOnlyRootFilesystem: z.literal(true),
  capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
});

/** The problems of these manifests, each by itself and all of them together. */
export function problemsOf(manifests: readonly Manifest[], outside: Outside): string[] {
  const broken = manifests.flatMap((each) =>
    schemaProblems(each).map((problem) => `${nameOf(each)}: ${problem}`),
  );
  if (broken.length > 0) return broken;
  try {
    return [
      ...togetherProblems(manifests, outside),
      ...manifests.flatMap((each) => jobProblems(each)),
    ];
  } catch (error) {
    return [messageOf(error)];
  }
}

function jobProblems(manifest: Manifest): string[] {
  if (manifest.kind !== 'Job') return [];
  const { metadata, spec } = job.parse(manifest);
  const { completions, parallelism, template, podFailurePolicy, ...rest } = spec;
  const [container] = template.spec.containers;
  const isIndexed = rest.completionMode === 'Indexed';
  const known: readonly number[] = Object.values(errorTable).map(({ exit }) => exit);
  const codes = podFailurePolicy.rules.flatMap(({ onExitCodes }) => onExitCodes ?? []);
  return problems(`${nameOf(manifest)}: `, {
    'its pods have other labels than the Job':
      JSON.stringify(metadata.labels) === JSON.stringify(template.metadata.labels),
    'completions and parallelism differ': completions === parallelism,
    'it counts failures by index but is not Indexed':
      isIndexed || rest.backoffLimitPerIndex === undefined,
    'it is Indexed, but has no limit of failures by index or no success policy':
      !isIndexed || (rest.backoffLimitPerIndex !== undefined && rest.successPolicy !== undefined),
    'its failure policy has an unknown container': codes.every(
      ({ containerName }) => containerName === container.name,
    ),
    'its failure policy has an unknown exit code': codes.every(({ values }) =>
      values.every((code) => known.includes(code)),
    ),
    'it counts SIGTERM as a failure': podFailurePolicy.rules.some(
      ({ action, onExitCodes }) =>
        action === 'Ignore' && onExitCodes?.values.includes(143) === true,
    ),
  });
}

function togetherProblems(
  manifests: readonly Manifest[],
  { secret, certificateNames }: Outside,
): string[] {
  const kind = (wanted: string) => manifests.filter((each) => each.kind === wanted);
  const jobs = kind('Job').map((each) => ({
    name: each.metadata.name,
    ...job.parse(each).spec.template,
  }));
  const [only] = kind('Service');
  if (only === undefined) return ['there is no service'];
  const { selector, ports } = service.parse(only).spec;
  const behind = jobs.filter(({ metadata }) =>
    Object.entries(selector).every(([label, value]) => metadata.labels[label] === value),
  );
  const [coordinator] = behind;
  if (coordinator === undefined || behind.length > 1)
    return [`${behind.length} Jobs are behind the service`];
  const workers = jobs.filter((each) => each !== coordinator);

  const secrets = Object.fromEntries(secret.keys.map((key) => [key, `${'x'.repeat(32)}\n`]));
  const stored: Stored = new Map([...configMapsOf(manifests), [`Secret/${secret.name}`, secrets]]);
  const open = parsed(coordinator.spec, coordinator.name, stored);
  if (open.command !== 'coordinator') return [`the coordinator runs ${open.command}`];
  const { port, httpPort, advertise, sslCertfile, httpSslCertfile, insecure } = open.options;
  const serviceName = only.metadata.name;
  const target = (at: number) => {
    const found = ports.find((each) => each.port === at)?.targetPort;
    return coordinator.spec.containers[0].ports.find(({ name }) => name === found)?.containerPort;
  };
  const dialled = workers.map(({ name, spec }) => {
    const worker = parsed(spec, name, stored);
    return worker.command === 'worker' ? worker.options : undefined;
  });
  const claims = kind('PersistentVolumeClaim').map(({ metadata }) => metadata.name);
  const namespaces = new Set(manifests.flatMap(({ metadata }) => metadata.namespace ?? []));
  return [
    ...jobs.flatMap(({ name, spec }) => podProblems(name, spec, claims)),
    ...problems('', {
      'a Secret is among the manifests': kind('Secret').length === 0,
      'a manifest is not in the namespace of the secret':
        namespaces.size === 1 &&
        namespaces.has(secret.namespace) &&
        kind('Namespace').every(({ metadata }) => metadata.name === secret.namespace) &&
        manifests.every(
          (each) => each.kind === 'Namespace' || each.metadata.namespace !== undefined,
        ),
      'the certificate is not for the service': certificateNames.includes(serviceName),
      'the coordinator does not use TLS on both ports':
        sslCertfile !== undefined && httpSslCertfile !== undefined && !insecure,
      'the coordinator does not advertise the name of the service': advertise === serviceName,
      'the service does not lead to the port for workers': target(port) === port,
      'the service does not lead to the page': target(httpPort) === httpPort,
      'workers do not dial the service, or do not trust the authority in the secret':
        dialled.length > 0 &&
        dialled.every(
          (options) =>
            options?.coordinator === `wss://${serviceName}:${port}` &&
            options.sslCaCertfile !== undefined,
        ),
      'a probe does not request the page': probesOf(coordinator.spec).every(
        ({ httpGet }) =>
          ['/healthz', '/readyz'].includes(httpGet.path) &&
          httpGet.scheme === 'HTTPS' &&
          coordinator.spec.containers[0].ports.some(
            ({ name, containerPort }) => name === httpGet.port && containerPort === httpPort,
          ),
      ),
      'the coordinator lacks a probe': probesOf(coordinator.spec).length === 3,
    }),
  ];
}

/** The problems of a single pod. */
export function podProblems(name: string, spec: PodSpec, claims: readonly string[]): string[] {
  const [{ image, resources, securityContext, volumeMounts }] = spec.containers;
  const needed = spec.volumes.flatMap((each) =>
    'persistentVolumeClaim' in each ? each.persistentVolumeClaim.claimName : [],
  );
  return problems(`${name}: `, {
    'the pod violates the standard "restricted"': restrictedPod.safeParse(spec.securityContext)
      .success,
    'the container has more rights than it needs':
      restrictedContainer.safeParse(securityContext).success,
    'the image is not built here': ['mnist-dist:cpu', 'mnist-dist:cuda'].includes(image),
    'it has a GPU without the image for GPUs, or that image without a GPU':
      (resources.limits['nvidia.com/gpu'] !== undefined) === (image === 'mnist-dist:cuda'),
    'memory has no limit': resources.limits['memory'] !== undefined,
    'no container mounts one of its volumes': spec.volumes.every((each) =>
      volumeMounts.some((mount) => mount.name === each.name),
    ),
    'it uses an unknown claim': needed.every((claim) => claims.includes(claim)),
    'other users can read its secrets': spec.volumes.every(
      (each) => !('secret' in each) || (each.secret.defaultMode & 0o027) === 0,
    ),
    'it has no folder for temporary files': volumeMounts.some(
      ({ mountPath }) => mountPath === '/tmp',
    ),
  });
}

function probesOf({ containers: [{ startupProbe, livenessProbe, readinessProbe }] }: PodSpec) {
  return [startupProbe, livenessProbe, readinessProbe].filter((probe) => probe !== undefined);
}

/**
 * A container's command as mnist-dist parses it. Throws if mnist-dist cannot parse it, or if a file
 * is missing.
 */
function parsed(spec: PodSpec, name: string, stored: Stored): ParsedCommand {
  const container = layOut(spec, name, stored);
  try {
    return understood(container);
  } finally {
    rmSync(container.root, { recursive: true, force: true });
  }
}

export function understood(container: Container): ParsedCommand {
  const argv = container.argv();
  // The run's directory does not exist before the first start.
  const files = argv.flatMap((word) => /^(?:--[\w-]+file=|--config=)(\/.+)$/.exec(word)?.[1] ?? []);
  const missing = files.find((file) => !file.startsWith(container.root) || !existsSync(file));
  if (missing !== undefined) throw new Error(`${missing} is in no volume`);
  const command = parseCommand(argv, container.environment, 'test');
  if (command.command === 'print') throw new Error(`"${argv.join(' ')}" is not a command`);
  return command;
}

function problems(prefix: string, checks: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(checks).flatMap(([problem, holds]) => (holds ? [] : `${prefix}${problem}`));
}
