import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseCommand } from '../../../cli/program.ts';
import {
  build,
  buildOwn,
  isInstalled,
  kubernetes,
  nameOf,
  parseManifests,
  whySkipped,
  type Manifest,
} from '../../fixtures/deploy/kustomize.ts';
import { replacements, unnoticed } from './mutants.ts';
import { outsideOf, page } from '../../fixtures/deploy/kubernetes-page.ts';
import { images, meaningProblems, podProblems, problemsOf, version } from './problems.ts';
import { podSpec } from '../../fixtures/deploy/container.ts';
import { schemaProblems } from './kubernetes-schema.ts';
import { workloadsOf } from './workloads.ts';

const components = readdirSync(`${kubernetes}components`);
const outside = outsideOf(page);

/** The manifests that users render, from an overlay or from their own folder with components. */
const rendered = isInstalled
  ? {
      cpu: build(`${kubernetes}cpu`),
      gpu: build(`${kubernetes}gpu`),
      'gpu with components': buildOwn('gpu', [
        'object-storage',
        'disruption-budget',
        'topology-spread',
        'pod-monitor',
        'queue',
      ]),
      'cpu as a JobSet': buildOwn('cpu', ['network-policy', 'topology-spread', 'jobset', 'queue']),
    }
  : { cpu: [], gpu: [], 'gpu with components': [], 'cpu as a JobSet': [] };
const sets = Object.entries(rendered).map(([name, manifests]) => ({ name, manifests }));

/**
 * Fields that may be missing: Kubernetes has a default that works as well, or a component adds
 * them.
 */
const optional =
  /^removed .*(Probe\/(failureThreshold|(period|timeout)Seconds)|\/ports\/\d\/protocol|\/fsGroupChangePolicy|\/topologySpreadConstraints|\/kueue.x-k8s.io\/queue-name)$/;

describe.skipIf(!isInstalled)(`deploy/kubernetes${whySkipped}`, () => {
  it.each(sets)('is consistent with Kubernetes, mnist-dist and itself: $name', ({ manifests }) => {
    expect(problemsOf(manifests, outside)).toEqual([]);
  });

  it('is rejected if any field is renamed, removed, or has a value of a different type', () => {
    const tried = new Map<string, number>();
    for (const { name, manifests } of sets)
      for (const manifest of manifests) {
        const key = JSON.stringify(manifest);
        if (tried.has(key)) continue;
        const found = unnoticed(manifest, (changed) => {
          const mutants = manifests.map((each) => (each === manifest ? changed : each));
          return schemaProblems(changed).length > 0 || meaningProblems(mutants, outside).length > 0;
        });
        const serious = found.mutations.filter((each) => !optional.test(each));
        expect(serious, `${name}, ${nameOf(manifest)}`).toEqual([]);
        tried.set(key, found.tried);
      }
    expect([...tried.values()].reduce((sum, each) => sum + each, 0)).toBeGreaterThan(3000);
  });

  // Each mistake is made separately at every occurrence of its text.
  it.each([
    ['a wrong service port', '"port":29400', '"port":29401'],
    ['a wrong target port in the service', '"targetPort":"workers"', '"targetPort":"worker"'],
    ['a wrong container port', '"containerPort":29400', '"containerPort":29399'],
    ['a wrong container port for the page', '"containerPort":9464', '"containerPort":9465'],
    ['a wrong listening port', '--port=29400', '--port=29500'],
    ['a wrong listening port for the page', '--http-port=9464', '--http-port=9000'],
    ['a wrong port to dial', 'mnist-dist-coordinator:29400', 'mnist-dist-coordinator:29401'],
    ['a wrong name to dial', 'wss://mnist-dist-coordinator:', 'wss://mnist-dist:'],
    ['a wrong scheme to dial', '=wss://', '=ws://'],
    ['a misspelt flag', '--http-linger', '--http-lingers'],
    ['a flag of a different command', '--rdzv-timeout=1h', '--max-retries=1'],
    ['a misspelt worker flag', '--max-wait-time', '--max-wait'],
    ['an impossible value', '--max-wait-time=30m', '--max-wait-time=30x'],
    ['a misspelt option in its file', 'batch-size: 256', 'batchsize: 256'],
    ['an unknown variable', '"MNIST_DIST_DEVICE"', '"MNIST_DIST_DEVIC"'],
    ['a wrong key in the secret', '"key":"ca.crt"', '"key":"ca.pem"'],
    ['a wrong path to a key in the volume', '"path":"coordinator.key"', '"path":"tls.key"'],
    ['a wrong secret name', '"secretName":"mnist-dist"', '"secretName":"mnist-dist-tls"'],
    ['a wrong mode for the secret', '"defaultMode":288', '"defaultMode":292'],
    [
      'a wrong mount path',
      '"mountPath":"/etc/mnist-dist/secret"',
      '"mountPath":"/etc/mnist-dist/tls"',
    ],
    ['a wrong volume in a mount', '"name":"secret","secret"', '"name":"secrets","secret"'],
    ['a wrong claim', '"claimName":"mnist-dist-runs"', '"claimName":"mnist-dist-run"'],
    ['a wrong configuration key', '"key":"run-id"', '"key":"run"'],
    ['a wrong configuration file', '"subPath":"training.yaml"', '"subPath":"training.yml"'],
    ['a misspelt variable in the script', '"name":"RUN_ID"', '"name":"RUN"'],
    ['a wrong path in a probe', '"path":"/readyz"', '"path":"/ready"'],
    ['a wrong scheme in a probe', '"scheme":"HTTPS"', '"scheme":"HTTP"'],
    ['a wrong port in a probe', '"port":"https"', '"port":"http"'],
    [
      'a wrong label on the pod',
      '"app.kubernetes.io/component":"worker"',
      '"app.kubernetes.io/component":"coordinator"',
    ],
    ['a manifest in a different namespace', '"namespace":"mnist-dist"', '"namespace":"default"'],
    ['additional rights', '"allowPrivilegeEscalation":false', '"allowPrivilegeEscalation":true'],
    [
      'a writable root file system',
      '"readOnlyRootFilesystem":true',
      '"readOnlyRootFilesystem":false',
    ],
    ['a pod that may run as root', '"runAsNonRoot":true', '"runAsNonRoot":false'],
    [
      'a wrong container in the failure policy',
      '"containerName":"worker"',
      '"containerName":"workers"',
    ],
    ['a wrong exit code', '[143]', '[144]'],
    ['less parallelism than completions', '"parallelism":2', '"parallelism":1'],
    ['a wrong image', '"image":"mnist-dist:', '"image":"mnist-dis:'],
    ['an image without a version', `"image":"mnist-dist:${version}-`, '"image":"mnist-dist:'],
    ['a disk that is too small for /tmp', '"ephemeral-storage":"2Gi"', '"ephemeral-storage":"1Gi"'],
    ['a wrong kind', '"kind":"Job"', '"kind":"Jobs"'],
    ['a wrong API version', '"apiVersion":"batch/v1"', '"apiVersion":"batch/v1beta1"'],
    ['an unknown value', '"completionMode":"Indexed"', '"completionMode":"Index"'],
    ['a string instead of a number', '"backoffLimit":20', '"backoffLimit":"20"'],
    ['a Secret among the manifests', '"kind":"ConfigMap"', '"kind":"Secret"'],
  ])('is rejected for a mistake: %s', (_, right, wrong) => {
    for (const manifests of [rendered.cpu, rendered.gpu]) {
      const mutants = replacements(manifests, right, wrong);
      expect(mutants.length, right).toBeGreaterThan(0);
      for (const mutant of mutants) expect(problemsOf(mutant, outside), wrong).not.toEqual([]);
    }
  });

  // The same for the manifests with components.
  it.each([
    ['a policy for a different worker port', '"port":29400', '"port":29500'],
    ['a policy for a different page port', '"port":9464', '"port":9465'],
    [
      'a policy for a different protocol',
      '"port":53,"protocol":"UDP"',
      '"port":53,"protocol":"TCP"',
    ],
    ['a policy for a different namespace', '"kubernetes.io/metadata.name":"monitoring"', '"a":"b"'],
    ['a policy for a wider network', '"cidr":"169.254.20.10/32"', '"cidr":"169.254.0.0/16"'],
    ['a policy for no network', '"cidr":"0.0.0.0/0"', '"cidr":"192.0.2.0/24"'],
    ['a policy that restricts only one direction', '["Ingress","Egress"]', '["Ingress"]'],
    [
      'a wrong label in a selector or on a pod',
      '"app.kubernetes.io/component":"worker"',
      '"app.kubernetes.io/component":"workers"',
    ],
    ['a budget for too many pods', '"minAvailable":1', '"minAvailable":3'],
    ['a budget as a percentage', '"minAvailable":1', '"minAvailable":"50%"'],
    ['a monitor for a different port', '"port":"https"', '"port":"workers"'],
    ['a monitor without TLS', '"scheme":"https"', '"scheme":"http"'],
    ['a monitor that scrapes too rarely', '"interval":"15s"', '"interval":"30s"'],
    ['a name that is not in the certificate', '"serverName":"mnist-dist', '"serverName":"mnist'],
    ['a wrong key in the secret', '"key":"http-token","name"', '"key":"token","name"'],
    ['a worker that waits for its own node', '"ScheduleAnyway"', '"DoNotSchedule"'],
    ['a queue for one Job only', '"kueue.x-k8s.io/queue-name":"mnist-dist"', '"a":"b"'],
  ])('with components, is rejected for %s', (_, right, wrong) => {
    const mutants = replacements(rendered['gpu with components'], right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants) expect(problemsOf(mutant, outside), wrong).not.toEqual([]);
  });

  it.each([
    ['an unknown Job to end with', '["coordinator"]', '["coordinators"]'],
    ['the workers to end with', '["coordinator"]', '["workers"]'],
    ['an unknown operator', '"operator":"All"', '"operator":"Every"'],
    ['a second service', '"enableDNSHostnames":false', '"enableDNSHostnames":true'],
    ['several coordinators', '"replicas":1', '"replicas":2'],
    ['a wrong API version', 'jobset.x-k8s.io/v1alpha2', 'jobset.x-k8s.io/v1alpha1'],
  ])('as a JobSet, is rejected for %s', (_, right, wrong) => {
    const mutants = replacements(rendered['cpu as a JobSet'], right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants) expect(problemsOf(mutant, outside), wrong).not.toEqual([]);
  });

  it.each(components)('does not need another component for %s', (component) => {
    const manifests = buildOwn('cpu', [component]);
    expect(problemsOf(manifests, outside)).toEqual([]);
    expect(manifests).not.toEqual(rendered.cpu);
  });

  it('requests one GPU for each worker, and differs from cpu only in its workers', () => {
    const { cpu, gpu } = rendered;
    const different = gpu.filter((each, at) => JSON.stringify(each) !== JSON.stringify(cpu[at]));
    expect(different.map(nameOf)).toEqual(['Job/mnist-dist-workers']);
    expect(JSON.stringify(different)).toContain('"nvidia.com/gpu":1');
  });

  it('has the same Jobs as a JobSet, which waits in the queue as a whole', () => {
    const specs = (manifests: readonly Manifest[]) =>
      workloadsOf(manifests).map(({ spec }) => spec);
    expect(specs(buildOwn('gpu', ['jobset']))).toEqual(specs(rendered.gpu));
    const queued = rendered['cpu as a JobSet'].filter((each) =>
      JSON.stringify(each).includes('kueue.x-k8s.io'),
    );
    expect(queued.map(nameOf)).toEqual(['JobSet/mnist-dist']);
  });

  it("takes the images of this version from a user's registry", () => {
    const own = { images: [{ name: 'mnist-dist', newName: 'registry.example/mnist-dist' }] };
    const used = workloadsOf(buildOwn('gpu', ['jobset'], own)).map(
      ({ spec }) => spec.template.spec.containers[0].image,
    );
    expect(used).toEqual([images.cpu, images.cuda].map((name) => `registry.example/${name}`));
  });
});

describe('deploy/kubernetes/results.yaml', () => {
  const [pod, ...others] = parseManifests(readFileSync(`${kubernetes}results.yaml`, 'utf8'));
  if (pod === undefined) throw new Error('results.yaml is empty');

  it("is a pod that shows the coordinator's runs", () => {
    expect(others).toEqual([]);
    expect(schemaProblems(pod)).toEqual([]);
    expect(pod.metadata.namespace).toBe(outside.secret.namespace);
    const spec = podSpec.parse(pod['spec']);
    expect(podProblems('results', spec, ['mnist-dist-runs'])).toEqual([]);
    const [{ command, args }] = spec.containers;
    const parsed = parseCommand([...command.slice(1), ...args], {}, 'test');
    expect(parsed.command === 'show' && parsed.options.runsDir).toBe('/runs');
  });
});

describe('docs/deploy/kubernetes.md', () => {
  it('mentions only files that exist, and says that no cluster has run them', () => {
    const files = [...page.matchAll(/deploy\/kubernetes\/[\w/.-]*\w/g)].map(([file]) => file);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files)
      expect(
        () => readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url))),
        file,
      ).not.toThrow(/ENOENT/);
    expect(page).toContain('These manifests have never run on a cluster');
    for (const component of components) expect(page).toContain(`| \`${component}\` |`);
  });
});
