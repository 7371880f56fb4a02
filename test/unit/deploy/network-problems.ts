import { BlockList, isIPv6 } from 'node:net';
import { z } from 'zod';
import { nameOf, type Manifest } from '../../fixtures/deploy/kustomize.ts';
import { selector, selects, type Labels, type Workload } from './workloads.ts';

const peer = z.strictObject({
  podSelector: selector.optional(),
  namespaceSelector: selector.optional(),
  ipBlock: z.strictObject({ cidr: z.string() }).optional(),
});
type Peer = z.infer<typeof peer>;
const ports = z.array(z.strictObject({ port: z.int(), protocol: z.enum(['TCP', 'UDP']) })).min(1);
const policy = z.looseObject({
  spec: z.strictObject({
    podSelector: selector,
    policyTypes: z.array(z.enum(['Ingress', 'Egress'])),
    ingress: z.array(z.strictObject({ from: z.array(peer).min(1), ports })).default([]),
    egress: z.array(z.strictObject({ to: z.array(peer).min(1), ports })).default([]),
  }),
});
type Policy = z.infer<typeof policy>['spec'];

/** One end of a connection: a pod in a namespace, or an address outside the cluster. */
interface Place {
  readonly name: string;
  readonly pod?: Labels;
  readonly namespace?: string;
  readonly address?: string;
}
interface Target {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP';
}

const directions = ['Egress', 'Ingress'] as const;
type Direction = (typeof directions)[number];

const OURS = 'mnist-dist';
const NODE_DNS_CACHE = '169.254.20.10';
const elsewhere: readonly Place[] = [
  { name: 'a DNS server', pod: { 'k8s-app': 'kube-dns' }, namespace: 'kube-system' },
  { name: 'Prometheus', pod: { app: 'prometheus' }, namespace: 'monitoring' },
  { name: 'a pod in another namespace', pod: { app: 'other' }, namespace: 'default' },
  { name: "a node's DNS cache", address: NODE_DNS_CACHE },
  { name: "a cloud's metadata service", address: '169.254.169.254' },
  { name: 'the internet', address: '203.0.113.9' },
  { name: 'the internet over IPv6', address: '2001:db8::9' },
];

function here(name: string, program: string, component: string): Place {
  const pod = { 'app.kubernetes.io/name': program, 'app.kubernetes.io/component': component };
  return { name, pod, namespace: OURS };
}

/** Other pods in the namespace, which the policies must not restrict. */
const strangers = [
  here("another program's coordinator", 'other', 'coordinator'),
  here("another program's worker", 'other', 'worker'),
];

/** A run's pods and ports. */
interface Roles {
  readonly coordinator: Place;
  readonly workers: readonly Place[];
  readonly port: number;
  readonly httpPort: number;
  readonly hasStore: boolean;
}

/** The connections that training needs, as seen from each of its pods. */
const needed: Readonly<
  Record<Direction, (roles: Roles, pod: Place, other: Place, target: Target) => boolean>
> = {
  Egress({ coordinator, workers, port, hasStore }, pod, to, target) {
    const isTraining = pod === coordinator || workers.includes(pod);
    if (target.port === 53)
      return isTraining && (to.pod !== undefined || to.address === NODE_DNS_CACHE);
    if (target.protocol !== 'TCP') return false;
    if (target.port === port) return workers.includes(pod) && to === coordinator;
    const isStore = target.port === 443 && to.address !== undefined;
    return isStore && hasStore && pod === coordinator;
  },
  Ingress({ coordinator, workers, port, httpPort }, pod, from, target) {
    if (target.protocol !== 'TCP' || pod !== coordinator) return false;
    if (target.port === port) return workers.includes(from);
    return target.port === httpPort && from.namespace === 'monitoring';
  },
};

/**
 * Compares the connections that the NetworkPolicies allow with those that training needs, for every
 * pod, every other place and every port. Without a policy, there are no problems.
 */
export function networkProblems(
  manifests: readonly Manifest[],
  coordinatorJob: Workload,
  workerJobs: readonly Workload[],
  { port, httpPort }: Pick<Roles, 'port' | 'httpPort'>,
): string[] {
  const found = manifests.filter(({ kind }) => kind === 'NetworkPolicy');
  if (found.length === 0) return [];
  const policies = found.map((each) => policy.parse(each).spec);
  const hasStore = found.some(({ metadata }) => metadata.name === 'mnist-dist-object-storage');
  const placeOf = ({ name, labels }: Workload): Place => ({ name, pod: labels, namespace: OURS });
  const [coordinator, workers] = [placeOf(coordinatorJob), workerJobs.map(placeOf)];
  const roles = { coordinator, workers, port, httpPort, hasStore };
  const ours = [coordinator, ...workers, here('the pod with results', 'mnist-dist', 'results')];
  const targets = [port, httpPort, 22, 53, 80, 443].flatMap((at): Target[] => [
    { port: at, protocol: 'TCP' },
    { port: at, protocol: 'UDP' },
  ]);
  const wrong = combinations([...ours, ...strangers], directions, targets).flatMap(
    ({ pod, direction, other, target }) => {
      const isNeeded = !ours.includes(pod) || needed[direction](roles, pod, other, target);
      if (isAllowed(policies, direction, pod, other, target) === isNeeded) return [];
      const connection = `${direction} of ${pod.name}, ${other.name}, ${JSON.stringify(target)}`;
      return `${connection} is ${isNeeded ? 'needed but not allowed' : 'allowed but not needed'}`;
    },
  );
  const idle = policies.flatMap(({ podSelector }, at) =>
    ours.some(({ pod = {} }) => selects(podSelector, pod)) ? [] : found.slice(at, at + 1),
  );
  return [...wrong, ...idle.map((each) => `${nameOf(each)} does not select any pod`)];
}

function combinations(
  pods: readonly Place[],
  ways: readonly Direction[],
  targets: readonly Target[],
) {
  return pods.flatMap((pod) =>
    ways.flatMap((direction) =>
      [...pods, ...elsewhere].flatMap((other) =>
        targets.map((target) => ({ pod, direction, other, target })),
      ),
    ),
  );
}

/** Whether the pod may have this connection with the other place. */
function isAllowed(
  policies: readonly Policy[],
  direction: Direction,
  { pod = {} }: Place,
  other: Place,
  { port, protocol }: Target,
): boolean {
  const selecting = policies.filter(
    ({ podSelector, policyTypes }) => policyTypes.includes(direction) && selects(podSelector, pod),
  );
  const rules = selecting.flatMap(({ egress, ingress }) =>
    direction === 'Egress'
      ? egress.map((rule) => ({ peers: rule.to, ports: rule.ports }))
      : ingress.map((rule) => ({ peers: rule.from, ports: rule.ports })),
  );
  return (
    selecting.length === 0 ||
    rules.some(
      ({ peers, ports: open }) =>
        open.some((each) => each.port === port && each.protocol === protocol) &&
        peers.some((each) => includes(each, other)),
    )
  );
}

function includes({ podSelector, namespaceSelector, ipBlock }: Peer, place: Place): boolean {
  const { pod, namespace, address } = place;
  if (ipBlock !== undefined) return address !== undefined && isInBlock(ipBlock.cidr, address);
  if (pod === undefined || namespace === undefined) return false;
  const isNamespace =
    namespaceSelector === undefined
      ? namespace === OURS
      : selects(namespaceSelector, { 'kubernetes.io/metadata.name': namespace });
  return isNamespace && (podSelector === undefined || selects(podSelector, pod));
}

function isInBlock(cidr: string, address: string): boolean {
  const [network = '', bits = ''] = cidr.split('/');
  const family = (text: string) => (isIPv6(text) ? 'ipv6' : 'ipv4');
  const list = new BlockList();
  list.addSubnet(network, Number(bits), family(network));
  // In a BlockList, ::/0 contains IPv4 addresses as well.
  return family(network) === family(address) && list.check(address, family(address));
}
