import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseCommand } from '../../../cli/program.ts';
import {
  build,
  kubernetes,
  nameOf,
  parseManifests,
  type Manifest,
} from '../../fixtures/deploy/kustomize.ts';
import { replacements, unnoticed } from './mutants.ts';
import { outsideOf, page } from '../../fixtures/deploy/kubernetes-page.ts';
import { podProblems, problemsOf } from './problems.ts';
import { podSpec } from '../../fixtures/deploy/container.ts';
import { schemaProblems } from './kubernetes-schema.ts';

const overlays = ['cpu', 'gpu'] as const;
const outside = outsideOf(page);
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

describe.each(overlays)('deploy/kubernetes/%s', (overlay) => {
  const manifests = build(`${kubernetes}${overlay}`);

  it('is consistent with Kubernetes, mnist-dist and itself', () => {
    expect(problemsOf(manifests, outside)).toEqual([]);
  });

  it('is rejected if any of its fields is misspelt', () => {
    const found = manifests.map((each) => unnoticed(each));
    expect(found.flatMap(({ fields }) => fields)).toEqual([]);
    expect(found.reduce((sum, { tried }) => sum + tried, 0)).toBeGreaterThan(200);
  });

  // Each mistake is made separately at every occurrence of its text.
  it.each([
    ['a wrong port of the service', '"port":29400', '"port":29401'],
    ['a wrong target port of the service', '"targetPort":"workers"', '"targetPort":"worker"'],
    ['a wrong port of the container', '"containerPort":29400', '"containerPort":29399'],
    ['a wrong container port for the page', '"containerPort":9464', '"containerPort":9465'],
    ['a wrong listening port', '--port=29400', '--port=29500'],
    ['a wrong listening port for the page', '--http-port=9464', '--http-port=9000'],
    ['a wrong port to dial', 'mnist-dist-coordinator:29400', 'mnist-dist-coordinator:29401'],
    ['a wrong name to dial', 'wss://mnist-dist-coordinator:', 'wss://mnist-dist:'],
    ['a wrong scheme to dial', '=wss://', '=ws://'],
    ['a misspelt flag', '--http-linger', '--http-lingers'],
    ['a flag of another command', '--rdzv-timeout=1h', '--max-retries=1'],
    ['a misspelt flag of workers', '--max-wait-time', '--max-wait'],
    ['an impossible value', '--max-wait-time=30m', '--max-wait-time=30x'],
    ['a misspelt option in its file', 'batch-size: 256', 'batchsize: 256'],
    ['an unknown variable', '"MNIST_DIST_DEVICE"', '"MNIST_DIST_DEVIC"'],
    ['a wrong key of the secret', '"key":"ca.crt"', '"key":"ca.pem"'],
    ['a wrong path of a key in the volume', '"path":"coordinator.key"', '"path":"tls.key"'],
    ['a wrong name of the secret', '"secretName":"mnist-dist"', '"secretName":"mnist-dist-tls"'],
    ['a wrong mode of the secret', '"defaultMode":288', '"defaultMode":292'],
    [
      'a wrong mount path',
      '"mountPath":"/etc/mnist-dist/secret"',
      '"mountPath":"/etc/mnist-dist/tls"',
    ],
    ['a wrong volume in a mount', '"name":"secret","secret"', '"name":"secrets","secret"'],
    ['a wrong claim', '"claimName":"mnist-dist-runs"', '"claimName":"mnist-dist-run"'],
    ['a wrong key of the configuration', '"key":"run-id"', '"key":"run"'],
    ['a wrong file of the configuration', '"subPath":"training.yaml"', '"subPath":"training.yml"'],
    ['a misspelt variable of the script', '"name":"RUN_ID"', '"name":"RUN"'],
    ['a wrong path in a probe', '"path":"/readyz"', '"path":"/ready"'],
    ['a wrong scheme in a probe', '"scheme":"HTTPS"', '"scheme":"HTTP"'],
    ['a wrong port in a probe', '"port":"https"', '"port":"http"'],
    [
      'a wrong label on the pod',
      '"app.kubernetes.io/component":"worker"',
      '"app.kubernetes.io/component":"coordinator"',
    ],
    ['a manifest in another namespace', '"namespace":"mnist-dist"', '"namespace":"default"'],
    ['more rights', '"allowPrivilegeEscalation":false', '"allowPrivilegeEscalation":true'],
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
    ['a wrong image', '"image":"mnist-dist:c', '"image":"mnist-dis:c'],
    ['a wrong kind', '"kind":"Job"', '"kind":"Jobs"'],
    ['a wrong API version', '"apiVersion":"batch/v1"', '"apiVersion":"batch/v1beta1"'],
    ['an unknown value', '"completionMode":"Indexed"', '"completionMode":"Index"'],
    ['a string in place of a number', '"backoffLimit":20', '"backoffLimit":"20"'],
    ['a Secret among the manifests', '"kind":"ConfigMap"', '"kind":"Secret"'],
  ])('is rejected for a mistake: %s', (_, right, wrong) => {
    const mutants = replacements(manifests, right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants) expect(problemsOf(mutant, outside), wrong).not.toEqual([]);
  });

  // Debian has no kubectl that is new enough, so .ci/run cannot install one.
  if (hasKubectl)
    it('matches the output of kubectl', () => {
      const { status, stdout, stderr } = spawnSync(
        'kubectl',
        ['kustomize', `${kubernetes}${overlay}`],
        {
          encoding: 'utf8',
        },
      );
      expect(status, stderr).toBe(0);
      expect(byName(parseManifests(stdout))).toEqual(byName(manifests));
    });
});

describe('deploy/kubernetes/gpu', () => {
  it('requests one GPU for each worker, and differs from cpu only in its workers', () => {
    const [cpu, gpu] = overlays.map((overlay) => build(`${kubernetes}${overlay}`));
    const different = gpu?.filter((each, at) => JSON.stringify(each) !== JSON.stringify(cpu?.[at]));
    expect(different?.map(nameOf)).toEqual(['Job/mnist-dist-workers']);
    expect(JSON.stringify(different)).toContain('"nvidia.com/gpu":1');
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
  it('names files that exist, and says that they have never run on a cluster', () => {
    const files = [...page.matchAll(/deploy\/kubernetes\/[\w/.-]*\w/g)].map(([file]) => file);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files)
      expect(
        () => readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url))),
        file,
      ).not.toThrow(/ENOENT/);
    expect(page).toContain('These manifests have never run on a cluster');
  });
});

function byName(manifests: readonly Manifest[]): Record<string, Manifest> {
  return Object.fromEntries(manifests.map((each) => [nameOf(each), each]));
}
