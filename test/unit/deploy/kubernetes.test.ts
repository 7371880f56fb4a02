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

  it('is what Kubernetes, mnist-dist and its own parts expect', () => {
    expect(problemsOf(manifests, outside)).toEqual([]);
  });

  it('has no field whose wrong name would not be noticed', () => {
    const found = manifests.map((each) => unnoticed(each));
    expect(found.flatMap(({ fields }) => fields)).toEqual([]);
    expect(found.reduce((sum, { tried }) => sum + tried, 0)).toBeGreaterThan(200);
  });

  // Each mistake is made once in every place of its text.
  it.each([
    ['a port of the service', '"port":29400', '"port":29401'],
    ['the name of its port', '"targetPort":"workers"', '"targetPort":"worker"'],
    ['a port of the container', '"containerPort":29400', '"containerPort":29399'],
    ['the port of the page', '"containerPort":9464', '"containerPort":9465'],
    ['the port it listens on', '--port=29400', '--port=29500'],
    ['the port of the page it listens on', '--http-port=9464', '--http-port=9000'],
    ['the port workers dial', 'mnist-dist-coordinator:29400', 'mnist-dist-coordinator:29401'],
    ['the name workers dial', 'wss://mnist-dist-coordinator:', 'wss://mnist-dist:'],
    ['its scheme', '=wss://', '=ws://'],
    ['a misspelt flag', '--http-linger', '--http-lingers'],
    ['a flag of another command', '--rdzv-timeout=1h', '--max-retries=1'],
    ['a misspelt flag of workers', '--max-wait-time', '--max-wait'],
    ['an impossible value', '--max-wait-time=30m', '--max-wait-time=30x'],
    ['a misspelt option in its file', 'batch-size: 256', 'batchsize: 256'],
    ['an unknown variable', '"MNIST_DIST_DEVICE"', '"MNIST_DIST_DEVIC"'],
    ['a key of the secret', '"key":"ca.crt"', '"key":"ca.pem"'],
    ['its place in the volume', '"path":"coordinator.key"', '"path":"tls.key"'],
    ['the name of the secret', '"secretName":"mnist-dist"', '"secretName":"mnist-dist-tls"'],
    ['its mode', '"defaultMode":288', '"defaultMode":292'],
    ['a mount path', '"mountPath":"/etc/mnist-dist/secret"', '"mountPath":"/etc/mnist-dist/tls"'],
    ['the volume of a mount', '"name":"secret","secret"', '"name":"secrets","secret"'],
    ['the claim', '"claimName":"mnist-dist-runs"', '"claimName":"mnist-dist-run"'],
    ['a key of the configuration', '"key":"run-id"', '"key":"run"'],
    ['the file of the configuration', '"subPath":"training.yaml"', '"subPath":"training.yml"'],
    ['a variable that the script wants', '"name":"RUN_ID"', '"name":"RUN"'],
    ['the path of a probe', '"path":"/readyz"', '"path":"/ready"'],
    ['the scheme of a probe', '"scheme":"HTTPS"', '"scheme":"HTTP"'],
    ['the port of a probe', '"port":"https"', '"port":"http"'],
    [
      'a label of the pod',
      '"app.kubernetes.io/component":"worker"',
      '"app.kubernetes.io/component":"coordinator"',
    ],
    ['the namespace of one of them', '"namespace":"mnist-dist"', '"namespace":"default"'],
    ['more rights', '"allowPrivilegeEscalation":false', '"allowPrivilegeEscalation":true'],
    [
      'a root file system that can be written',
      '"readOnlyRootFilesystem":true',
      '"readOnlyRootFilesystem":false',
    ],
    ['root', '"runAsNonRoot":true', '"runAsNonRoot":false'],
    ['a container of the failure policy', '"containerName":"worker"', '"containerName":"workers"'],
    ['an exit code', '[143]', '[144]'],
    ['fewer workers than places', '"parallelism":2', '"parallelism":1'],
    ['the image', '"image":"mnist-dist:c', '"image":"mnist-dis:c'],
    ['a kind', '"kind":"Job"', '"kind":"Jobs"'],
    ['a version', '"apiVersion":"batch/v1"', '"apiVersion":"batch/v1beta1"'],
    ['a value that no field has', '"completionMode":"Indexed"', '"completionMode":"Index"'],
    ['a text where a number belongs', '"backoffLimit":20', '"backoffLimit":"20"'],
    ['a secret among them', '"kind":"ConfigMap"', '"kind":"Secret"'],
  ])('is rejected with a mistake in %s', (_, right, wrong) => {
    const mutants = replacements(manifests, right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants) expect(problemsOf(mutant, outside), wrong).not.toEqual([]);
  });

  // Debian has no kubectl that is new enough, so .ci/run cannot install one.
  if (hasKubectl)
    it('equals the output of kubectl', () => {
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
  it('asks for one GPU for each worker, and differs from cpu in its workers only', () => {
    const [cpu, gpu] = overlays.map((overlay) => build(`${kubernetes}${overlay}`));
    const different = gpu?.filter((each, at) => JSON.stringify(each) !== JSON.stringify(cpu?.[at]));
    expect(different?.map(nameOf)).toEqual(['Job/mnist-dist-workers']);
    expect(JSON.stringify(different)).toContain('"nvidia.com/gpu":1');
  });
});

describe('deploy/kubernetes/results.yaml', () => {
  const [pod, ...others] = parseManifests(readFileSync(`${kubernetes}results.yaml`, 'utf8'));
  if (pod === undefined) throw new Error('it is empty');

  it('is a pod that shows the runs of the coordinator', () => {
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
  it('names files that exist, and says that no cluster ran them', () => {
    const files = [...page.matchAll(/deploy\/kubernetes\/[\w/.-]*\w/g)].map(([file]) => file);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files)
      expect(
        () => readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url))),
        file,
      ).not.toThrow(/ENOENT/);
    expect(page).toContain('No cluster has run these manifests');
  });
});

function byName(manifests: readonly Manifest[]): Record<string, Manifest> {
  return Object.fromEntries(manifests.map((each) => [nameOf(each), each]));
}
