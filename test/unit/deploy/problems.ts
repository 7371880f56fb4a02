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

/** Facts from the documentation of the manifests. */
export interface Outside {
  /** The secret that users make. */
  readonly secret: {
    readonly name: string;
    readonly namespace: string;
    readonly keys: readonly string[];
  };
  /** The names for which they make a certificate. */
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
 * The demands of the standard called restricted on a pod, and a root file system that cannot be
 * written.
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

/** All that is wrong with these manifests, by themselves and with each other. */
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
    'its pods have its labels':
      JSON.stringify(metadata.labels) === JSON.stringify(template.metadata.labels),
    'only as many workers as places can be scaled': completions === parallelism,
    'only an Indexed Job counts by index': isIndexed || rest.backoffLimitPerIndex === undefined,
    'an Indexed Job counts by index, and is over when a worker says so':
      !isIndexed || (rest.backoffLimitPerIndex !== undefined && rest.successPolicy !== undefined),
    'there is no such container': codes.every(
      ({ containerName }) => containerName === container.name,
    ),
    'there is no such exit code': codes.every(({ values }) =>
      values.every((code) => known.includes(code)),
    ),
    'a worker that was told to end has not failed': podFailurePolicy.rules.some(
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
  if (open.command !== 'coordinator') return [`a coordinator runs ${open.command}`];
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
      'a secret is nothing to publish': kind('Secret').length === 0,
      'all is in one namespace, that of the secret':
        namespaces.size === 1 &&
        namespaces.has(secret.namespace) &&
        kind('Namespace').every(({ metadata }) => metadata.name === secret.namespace) &&
        manifests.every(
          (each) => each.kind === 'Namespace' || each.metadata.namespace !== undefined,
        ),
      'the certificate is for the service': certificateNames.includes(serviceName),
      'the coordinator speaks TLS on both ports':
        sslCertfile !== undefined && httpSslCertfile !== undefined && !insecure,
      'the coordinator says the name of the service': advertise === serviceName,
      'the service leads to the port of workers': target(port) === port,
      'the service leads to the page': target(httpPort) === httpPort,
      'workers dial the service, and believe the authority of the secret':
        dialled.length > 0 &&
        dialled.every(
          (options) =>
            options?.coordinator === `wss://${serviceName}:${port}` &&
            options.sslCaCertfile !== undefined,
        ),
      'the probes ask the page': probesOf(coordinator.spec).every(
        ({ httpGet }) =>
          ['/healthz', '/readyz'].includes(httpGet.path) &&
          httpGet.scheme === 'HTTPS' &&
          coordinator.spec.containers[0].ports.some(
            ({ name, containerPort }) => name === httpGet.port && containerPort === httpPort,
          ),
      ),
      'the coordinator has all three probes': probesOf(coordinator.spec).length === 3,
    }),
  ];
}

/** The problems of a pod by itself. */
export function podProblems(name: string, spec: PodSpec, claims: readonly string[]): string[] {
  const [{ image, resources, securityContext, volumeMounts }] = spec.containers;
  const needed = spec.volumes.flatMap((each) =>
    'persistentVolumeClaim' in each ? each.persistentVolumeClaim.claimName : [],
  );
  return problems(`${name}: `, {
    'not what the standard "restricted" asks': restrictedPod.safeParse(spec.securityContext)
      .success,
    'a container with more rights than it needs':
      restrictedContainer.safeParse(securityContext).success,
    'an image that is not built here': ['mnist-dist:cpu', 'mnist-dist:cuda'].includes(image),
    'a GPU and its image go together':
      (resources.limits['nvidia.com/gpu'] !== undefined) === (image === 'mnist-dist:cuda'),
    'memory has no limit': resources.limits['memory'] !== undefined,
    'a volume that no container mounts': spec.volumes.every((each) =>
      volumeMounts.some((mount) => mount.name === each.name),
    ),
    'there is no such claim': needed.every((claim) => claims.includes(claim)),
    'secrets can be read by others': spec.volumes.every(
      (each) => !('secret' in each) || (each.secret.defaultMode & 0o027) === 0,
    ),
    'there is no folder for what is temporary': volumeMounts.some(
      ({ mountPath }) => mountPath === '/tmp',
    ),
  });
}

function probesOf({ containers: [{ startupProbe, livenessProbe, readinessProbe }] }: PodSpec) {
  return [startupProbe, livenessProbe, readinessProbe].filter((probe) => probe !== undefined);
}

/**
 * A container's command as mnist-dist parses it. Throws if it cannot parse it, or if a file is
 * missing.
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
  if (command.command === 'print') throw new Error(`"${argv.join(' ')}" is no command`);
  return command;
}

function problems(prefix: string, checks: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(checks).flatMap(([problem, holds]) => (holds ? [] : `${prefix}${problem}`));
}
