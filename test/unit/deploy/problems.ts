import { existsSync, readFileSync, rmSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { parseCommand, type ParsedCommand } from '../../../cli/program.ts';
import { errorTable, messageOf } from '../../../shared/errors.ts';
import {
  configMapsOf,
  layOut,
  type Container,
  type PodSpec,
  type Stored,
} from '../../fixtures/deploy/container.ts';
import { nameOf, type Manifest } from '../../fixtures/deploy/kustomize.ts';
import { componentProblems, QUEUE } from './component-problems.ts';
import { schemaProblems } from './kubernetes-schema.ts';
import { networkProblems } from './network-problems.ts';
import { labels, problems, selects, workloadsOf, type Labels, type Workload } from './workloads.ts';

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

const service = z.looseObject({
  spec: z.looseObject({
    clusterIP: z.literal('None'),
    publishNotReadyAddresses: z.literal(true),
    selector: labels,
    ports: z.array(z.looseObject({ name: z.string(), port: z.int(), targetPort: z.string() })),
  }),
});
const claim = z.looseObject({
  spec: z.strictObject({
    accessModes: z.tuple([z.literal('ReadWriteOnce')]),
    resources: z.strictObject({ requests: z.strictObject({ storage: z.string() }) }),
  }),
});
/** The settings that the program needs for its environment, its service account and its signals. */
const frugalPod = z.looseObject({
  terminationGracePeriodSeconds: z.int(),
  automountServiceAccountToken: z.literal(false),
  enableServiceLinks: z.literal(false),
  shareProcessNamespace: z.literal(true),
});
/** The tolerations with which a node with GPUs accepts the pod. */
const gpuTolerations = z.tuple([
  z.strictObject({
    key: z.literal('nvidia.com/gpu'),
    operator: z.literal('Exists'),
    effect: z.literal('NoSchedule'),
  }),
]);
/** The preStop hook with which workers outlive the coordinator's last step. */
const preStop = z.strictObject({
  preStop: z.strictObject({
    exec: z.strictObject({ command: z.tuple([z.literal('sleep'), z.string()]) }),
  }),
});
/**
 * The requirements of the pod security standard `restricted` for a pod and its container. The
 * container must also have a read-only root file system.
 */
const restrictedPod = z.looseObject({
  runAsNonRoot: z.literal(true),
  runAsUser: z.int().min(1),
  runAsGroup: z.int().min(1),
  fsGroup: z.int().min(1),
  seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
});
const restrictedContainer = z.strictObject({
  allowPrivilegeEscalation: z.literal(false),
  readOnlyRootFilesystem: z.literal(true),
  capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
});

const quantity = z.string().regex(/^\d+[MG]i$/);
const allResources = z.strictObject({
  requests: z.strictObject({ cpu: z.string(), memory: quantity, 'ephemeral-storage': quantity }),
  limits: z.strictObject({
    memory: quantity,
    'ephemeral-storage': quantity,
    'nvidia.com/gpu': z.literal(1).optional(),
  }),
});

function bytesOf(text: string): number {
  return Number.parseInt(text, 10) * (text.endsWith('Gi') ? 2 ** 30 : 2 ** 20);
}

export const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')));
/** The images whose names contain this version. */
export const images = { cpu: `mnist-dist:${version}-cpu`, cuda: `mnist-dist:${version}-cuda` };

/** The problems in these manifests, in each of them and in all of them together. */
export function problemsOf(manifests: readonly Manifest[], outside: Outside): string[] {
  const broken = manifests.flatMap((each) =>
    schemaProblems(each).map((problem) => `${nameOf(each)}: ${problem}`),
  );
  return broken.length > 0 ? broken : meaningProblems(manifests, outside);
}

/** The problems in manifests that Kubernetes would accept. */
export function meaningProblems(manifests: readonly Manifest[], outside: Outside): string[] {
  try {
    return [
      ...togetherProblems(manifests, outside),
      ...manifests.flatMap((each) => labelProblems(each)),
      ...workloadsOf(manifests).flatMap((each) => jobProblems(each)),
    ];
  } catch (error) {
    return [messageOf(error)];
  }
}

const labelled = z.looseObject({
  metadata: z.looseObject({ labels: labels.optional() }),
});
/** The pod security standard that a namespace enforces. */
const security = {
  'pod-security.kubernetes.io/enforce': 'restricted',
  'pod-security.kubernetes.io/warn': 'restricted',
};

/** The problems in the labels by which people, queues and the namespace select manifests. */
function labelProblems(manifest: Manifest): string[] {
  const { [QUEUE]: _, ...own } = labelled.parse(manifest).metadata.labels ?? {};
  return problems(`${nameOf(manifest)}: `, {
    'its labels are wrong': isDeepStrictEqual(own, labelsFor(manifest)),
  });
}

function labelsFor({ kind, metadata }: Manifest): Labels {
  const name = { 'app.kubernetes.io/name': 'mnist-dist' };
  const component = metadata.name.endsWith('-workers') ? 'worker' : 'coordinator';
  switch (kind) {
    case 'Namespace':
      return security;
    case 'Job':
    case 'Service':
    case 'PodMonitor':
      return { ...name, 'app.kubernetes.io/component': component };
    case 'JobSet':
      return name;
    default:
      return {};
  }
}

function jobProblems({ name, labels: podLabels, metadata, spec }: Workload): string[] {
  const { completions, parallelism, template, podFailurePolicy, ...rest } = spec;
  const [container] = template.spec.containers;
  const isIndexed = rest.completionMode === 'Indexed';
  const known: readonly number[] = Object.values(errorTable).map(({ exit }) => exit);
  const codes = podFailurePolicy.rules.flatMap((rule) =>
    'onExitCodes' in rule ? rule.onExitCodes : [],
  );
  const { [QUEUE]: _, ...own } = metadata.labels;
  return problems(`${name}: `, {
    "the labels of its pods differ from the Job's": isDeepStrictEqual(own, podLabels),
    'completions and parallelism differ': completions === parallelism,
    'it counts failures by index but is not Indexed':
      isIndexed || rest.backoffLimitPerIndex === undefined,
    'it is Indexed, but has no limit on failures by index or no success policy':
      !isIndexed || (rest.backoffLimitPerIndex !== undefined && rest.successPolicy !== undefined),
    'its failure policy refers to an unknown container': codes.every(
      ({ containerName }) => containerName === container.name,
    ),
    'its failure policy refers to an unknown exit code': codes.every(({ values }) =>
      values.every((code) => known.includes(code)),
    ),
    'it counts SIGTERM as a failure': podFailurePolicy.rules.some(
      (rule) =>
        rule.action === 'Ignore' && 'onExitCodes' in rule && rule.onExitCodes.values.includes(143),
    ),
    'it has no limit on failures': isIndexed || rest.backoffLimit !== undefined,
  });
}

function togetherProblems(
  manifests: readonly Manifest[],
  { secret, certificateNames }: Outside,
): string[] {
  const kind = (wanted: string) => manifests.filter((each) => each.kind === wanted);
  const jobs = workloadsOf(manifests);
  const [only] = kind('Service');
  if (only === undefined) return ['there is no service'];
  const { selector, ports } = service.parse(only).spec;
  const behind = jobs.filter((each) =>
    selects({ matchLabels: selector, matchExpressions: [] }, each.labels),
  );
  const [coordinator] = behind;
  if (coordinator === undefined || behind.length > 1)
    return [`the service selects ${behind.length} Jobs`];
  const workers = jobs.filter((each) => each !== coordinator);
  const coordinatorPod = coordinator.spec.template.spec;

  const secrets = Object.fromEntries(secret.keys.map((key) => [key, `${'x'.repeat(32)}\n`]));
  const stored: Stored = new Map([...configMapsOf(manifests), [`Secret/${secret.name}`, secrets]]);
  const open = parsed(coordinatorPod, coordinator.name, stored);
  if (open.command !== 'coordinator') return [`the coordinator runs ${open.command}`];
  const { port, httpPort, httpLinger, advertise, sslCertfile, httpSslCertfile, insecure } =
    open.options;
  const serviceName = only.metadata.name;
  const target = (at: number) => {
    const found = ports.find((each) => each.port === at)?.targetPort;
    return coordinatorPod.containers[0].ports.find(({ name }) => name === found)?.containerPort;
  };
  const dialled = workers.map(({ name, spec }) => {
    const worker = parsed(spec.template.spec, name, stored);
    return worker.command === 'worker' ? worker.options : undefined;
  });
  const claims = kind('PersistentVolumeClaim').map(({ metadata }) => metadata.name);
  const namespaces = new Set(manifests.flatMap(({ metadata }) => metadata.namespace ?? []));
  return [
    ...jobs.flatMap(({ name, spec }) => podProblems(name, spec.template.spec, claims)),
    ...networkProblems(manifests, coordinator, workers, { port, httpPort }),
    ...componentProblems(
      { manifests, coordinator, workers, httpPort, lingerSeconds: httpLinger },
      { secret, certificateNames },
    ),
    ...problems('', {
      'a Secret is among the manifests': kind('Secret').length === 0,
      "a manifest is not in the secret's namespace":
        namespaces.size === 1 &&
        namespaces.has(secret.namespace) &&
        kind('Namespace').every(({ metadata }) => metadata.name === secret.namespace) &&
        manifests.every(
          (each) => each.kind === 'Namespace' || each.metadata.namespace !== undefined,
        ),
      'the certificate is not for the service': certificateNames.includes(serviceName),
      'the coordinator does not use TLS on both ports':
        sslCertfile !== undefined && httpSslCertfile !== undefined && !insecure,
      "the coordinator does not advertise the service's name": advertise === serviceName,
      'the service does not forward to the port for workers': target(port) === port,
      'the service does not forward to the page': target(httpPort) === httpPort,
      'workers do not dial the service, or do not trust the authority in the secret':
        dialled.length > 0 &&
        dialled.every(
          (options) =>
            options?.coordinator === `wss://${serviceName}:${port}` &&
            options.sslCaCertfile !== undefined,
        ),
      'a probe does not request the page': probesOf(coordinatorPod).every(
        ({ httpGet }) =>
          ['/healthz', '/readyz'].includes(httpGet.path) &&
          httpGet.scheme === 'HTTPS' &&
          coordinatorPod.containers[0].ports.some(
            ({ name, containerPort }) => name === httpGet.port && containerPort === httpPort,
          ),
      ),
      'workers stop at the same time as the coordinator': workers.every(
        ({ spec }) => preStop.safeParse(spec.template.spec.containers[0]['lifecycle']).success,
      ),
      "the service's selector does not contain all of the pod's labels": isDeepStrictEqual(
        selector,
        coordinator.labels,
      ),
      'a claim allows more than one node at a time': kind('PersistentVolumeClaim').every(
        (each) => claim.safeParse(each).success,
      ),
      'the coordinator lacks a probe': probesOf(coordinatorPod).length === 3,
    }),
  ];
}

/** The problems in a single pod. */
export function podProblems(name: string, spec: PodSpec, claims: readonly string[]): string[] {
  const [{ image, securityContext, volumeMounts }] = spec.containers;
  const { requests, limits } = allResources.parse(spec.containers[0].resources);
  const temporary = spec.volumes
    .map((each) => ('emptyDir' in each ? bytesOf(each.emptyDir.sizeLimit) : 0))
    .reduce((sum, bytes) => sum + bytes, 0);
  const needed = spec.volumes.flatMap((each) =>
    'persistentVolumeClaim' in each ? each.persistentVolumeClaim.claimName : [],
  );
  return problems(`${name}: `, {
    'the pod violates the standard "restricted"': restrictedPod.safeParse(spec.securityContext)
      .success,
    'the container has more rights than it needs':
      restrictedContainer.safeParse(securityContext).success,
    "the pod's settings are not those that the program needs": frugalPod.safeParse(spec).success,
    'its secrets and settings are writable': volumeMounts.every(
      ({ name: mounted, readOnly }) =>
        readOnly === true ||
        spec.volumes.every(
          (each) => each.name !== mounted || !('secret' in each || 'configMap' in each),
        ),
    ),
    'a node with GPUs refuses it':
      !('nvidia.com/gpu' in limits) || gpuTolerations.safeParse(spec['tolerations']).success,
    "the image is not this version's": [images.cpu, images.cuda].includes(image),
    'it has a GPU without the image for GPUs, or that image without a GPU':
      'nvidia.com/gpu' in limits === (image === images.cuda),
    'it requests more than its limit': (['memory', 'ephemeral-storage'] as const).every(
      (name) => bytesOf(requests[name]) <= bytesOf(limits[name]),
    ),
    'its temporary files and its log take more than its limit':
      bytesOf(limits['ephemeral-storage']) > temporary,
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

const parsedBefore = new Map<string, ParsedCommand>();

/** Like `parse`, but starts a shell only once for each container. */
function parsed(spec: PodSpec, name: string, stored: Stored): ParsedCommand {
  const [{ command: words, args, env, volumeMounts }] = spec.containers;
  const key = JSON.stringify([words, args, env, volumeMounts, spec.volumes, name, ...stored]);
  const command = parsedBefore.get(key) ?? parse(spec, name, stored);
  parsedBefore.set(key, command);
  return command;
}

/**
 * A container's command as mnist-dist parses it. Throws if mnist-dist cannot parse it, or if a file
 * is missing.
 */
function parse(spec: PodSpec, name: string, stored: Stored): ParsedCommand {
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
  if (missing !== undefined) throw new Error(`${missing} is not in a volume`);
  const command = parseCommand(argv, container.environment, 'test');
  if (command.command === 'print') throw new Error(`"${argv.join(' ')}" is not a command`);
  return command;
}
