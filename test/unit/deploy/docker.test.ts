import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { missing } from '../../fixtures/promtool.ts';
import { docker } from '../../fixtures/deploy/compose.ts';
import { outsideOf, problemsOf } from './compose-problems.ts';
import { dockerfileProblems } from './dockerfile-problems.ts';
import { reachesBuild, root } from '../../fixtures/deploy/dockerfile.ts';

const read = (file: string): string => readFileSync(join(docker, file), 'utf8');
const compose = read('compose.yaml');
const cuda = read('compose.cuda.yaml');
const prometheus = read('prometheus.yml');
const dockerfile = read('Dockerfile');
const ignore = readFileSync(join(root, '.dockerignore'), 'utf8');
const outside = outsideOf(readFileSync(join(root, 'docs/deploy/containers.md'), 'utf8'));

/** Copies of the text, each with one occurrence changed. */
function replacements(text: string, right: string, wrong: string): string[] {
  const parts = text.split(right);
  return parts
    .slice(1)
    .map((_, at) => parts.slice(0, at + 1).join(right) + wrong + parts.slice(at + 1).join(right));
}

describe('deploy/docker/compose.yaml', () => {
  it('is consistent with Compose, mnist-dist, its documentation and itself', () => {
    expect(problemsOf([compose], prometheus, outside)).toEqual([]);
    expect(problemsOf([compose, cuda], prometheus, outside)).toEqual([]);
  });

  it.each([
    ['a misspelt field', 'stop_grace_period:', 'stop_grace_time:'],
    ['a field with the wrong type', 'init: true', 'init: [true]'],
    ['a misspelt flag', '--http-linger=', '--http-lingers='],
    ['a misspelt worker flag', '--engine=', '--engines='],
    ['an impossible value', '=tensorflow', '=torch'],
    ['a wrong configuration file', './training.yaml:', './prometheus.yml:'],
    [
      'a wrong path to that file',
      '/etc/mnist-dist/training.yaml:ro',
      '/etc/mnist-dist/train.yaml:ro',
    ],
    ['a wrong listening port', '--port=29400', '--port=29401'],
    ['a wrong port to dial', 'coordinator:29400', 'coordinator:29401'],
    ['a wrong name to dial', 'wss://coordinator', 'wss://coordinators'],
    ['a wrong scheme to dial', 'wss://', 'ws://'],
    ['a wrong hostname', 'hostname: coordinator', 'hostname: master'],
    ['a wrong advertised name', '--advertise=coordinator', '--advertise=master'],
    ['a wrong port for the page', '--http-port=9464', '--http-port=9465'],
    ['a page published for other machines', "['127.0.0.1:9464:9464']", "['9464:9464']"],
    ['a wrong path to a secret', '/run/secrets/token', '/run/secrets/tokens'],
    ['a missing coordinator secret', ', http-token]', ']'],
    ['a missing worker secret', '[ca.crt, token]', '[token]'],
    ['an extra key', 'secrets: [ca.crt, token]', 'secrets: [ca.crt, token, coordinator.key]'],
    ['a wrong file for a secret', 'secrets/coordinator.key', 'secrets/tls.key'],
    [
      "a misspelt variable for the secrets' group",
      "group_add: ['${SECRETS_GID",
      "group_add: ['${SECRET_GID",
    ],
    ['a variable that Compose expands', '$$RUN_ID', '$RUN_ID'],
    ['a misspelt variable in the script', 'RUN_ID: ', 'RUN: '],
    ['a resume without --take-over', '--take-over "$$@"', '"$$@"'],
    ['a resume without a run', '--resume "$$run"', '--resume'],
    ["a start without the run's name", '--run-id "$$RUN_ID"', ''],
    ['an undeclared volume', 'runs:/runs', 'run:/runs'],
    ['a wrong path to the runs', 'runs:/runs', 'runs:/data'],
    ['additional rights', 'cap_drop: [ALL]', 'cap_drop: []'],
    ['a writable root file system', 'read_only: true', 'read_only: false'],
    ['no /tmp', "['/tmp:", "['/temp:"],
    ['a health check for a worker', '{ disable: true }', '{ disable: false }'],
    ['a wrong image', 'image: mnist-dist:cpu', 'image: mnist-dist:latest'],
    ['a wrong Dockerfile', 'dockerfile: deploy/docker/Dockerfile', 'dockerfile: Dockerfile'],
    ['a coordinator with --insecure', '--no-shared-memory', '--insecure'],
    ['a wrong path to the rules', '/etc/prometheus/rules:ro', '/etc/prometheus/rule:ro'],
    [
      'a wrong path to the provisioning files',
      '../observability/grafana/provisioning:',
      '../observability/grafana:',
    ],
    ['a wrong path to the dashboards', 'DASHBOARDS: /dashboards', 'DASHBOARDS: /dashboard'],
    ['a wrong network mode for Grafana', 'service:prometheus', 'service:coordinator'],
    ['an unpublished Grafana', ", '127.0.0.1:3000:3000'", ''],
    ['dashboards that Grafana can change', ':/dashboards:ro', ':/dashboards'],
  ])('is rejected for a mistake: %s', (_, right, wrong) => {
    const mutants = replacements(compose, right, wrong).filter(
      (mutant) => !isComment(mutant, wrong),
    );
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants)
      expect(problemsOf([mutant], prometheus, outside), right).not.toEqual([]);
  });

  it.each([
    ['a wrong image', 'mnist-dist:cuda', 'mnist-dist:cpu'],
    ['an image for CPUs', 'DEVICE: gpu', 'DEVICE: cpu'],
    ['a misspelt build argument', 'DEVICE: gpu', 'DEVICES: gpu'],
    ['a wrong device', 'cuda:0', 'cpu'],
    ['a misspelt variable', 'MNIST_DIST_DEVICE', 'MNIST_DIST_DEVICES'],
    ['no GPU', 'reservations:', 'reservation:'],
  ])('is rejected for a mistake in compose.cuda.yaml: %s', (_, right, wrong) => {
    const mutants = replacements(cuda, right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants)
      expect(problemsOf([compose, mutant], prometheus, outside), right).not.toEqual([]);
  });

  it.each([
    ['a wrong target', 'coordinator:9464', 'coordinator:9400'],
    ['a wrong scheme', 'scheme: https', 'scheme: http'],
    ['a wrong authority', 'secrets/ca.crt', 'secrets/ca.pem'],
    ['a wrong token', 'secrets/http-token', 'secrets/token'],
    ['a wrong path to the rules', 'rules/*.yml', 'rule/*.yml'],
    ['a wrong job name', 'job_name: mnist-dist', 'job_name: mnist'],
    ['a wrong interval', 'scrape_interval: 1s', 'scrape_interval: 5s'],
  ])('is rejected for a mistake in prometheus.yml: %s', (_, right, wrong) => {
    const mutants = replacements(prometheus, right, wrong).filter(
      (mutant) => !isComment(mutant, wrong),
    );
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants)
      expect(problemsOf([compose], mutant, outside), right).not.toEqual([]);
  });

  it.skipIf(missing !== undefined)(
    `mounts a prometheus.yml that promtool accepts${missing === undefined ? '' : `: ${missing}`}`,
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-prometheus-'));
      try {
        cpSync(join(root, 'dashboards/grafana/rules'), join(folder, 'rules'), { recursive: true });
        mkdirSync(join(folder, 'secrets'));
        for (const secret of ['ca.crt', 'http-token'])
          writeFileSync(join(folder, 'secrets', secret), '');
        writeFileSync(
          join(folder, 'prometheus.yml'),
          prometheus.replaceAll('/run/secrets/', 'secrets/'),
        );
        const arguments_ = ['check', 'config', '--syntax-only', join(folder, 'prometheus.yml')];
        const { status, stderr } = spawnSync('promtool', arguments_, { encoding: 'utf8' });
        expect(status, stderr).toBe(0);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe('deploy/docker/Dockerfile', () => {
  it('is consistent with Docker, mnist-dist and the checkout', () => {
    expect(dockerfileProblems(dockerfile, ignore)).toEqual([]);
  });

  it.each([
    ['a misspelt instruction', 'STOPSIGNAL', 'STOPSIGNALS'],
    ['a wrong stop signal', 'SIGTERM', 'SIGKILL'],
    ['root as its user', 'USER 10001:10001', 'USER root'],
    [
      'a different base image in one stage',
      'FROM node:22-bookworm-slim\n',
      'FROM node:24-bookworm-slim\n',
    ],
    [
      'a wrong script for its health check',
      '"/opt/mnist-dist/healthy.mjs"',
      '"/opt/mnist-dist/health.mjs"',
    ],
    ['a missing file', 'COPY deploy/docker/healthy.mjs', 'COPY deploy/docker/healthi.mjs'],
    ['a misspelt variable', 'MNIST_DIST_RUNS_DIR', 'MNIST_DIST_RUN_DIR'],
    ['a misspelt command', ' setup ', ' setups '],
    ['a misspelt flag', '--offline', '--off-line'],
    ['a wrong default device', 'ARG DEVICE=cpu', 'ARG DEVICE=gpu'],
    ['a last stage that installs packages', 'RUN useradd', 'RUN npm install -g npm && useradd'],
    [
      'a different package registry',
      'RUN npm ci',
      'RUN npm ci --registry=https://registry.example',
    ],
  ])('is rejected for a mistake: %s', (_, right, wrong) => {
    const mutants = replacements(dockerfile, right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants) expect(dockerfileProblems(mutant, ignore), right).not.toEqual([]);
  });

  it('receives exactly the files that a build needs', () => {
    expect(reachesBuild('coordinator/decisions/training-loop.ts')).toBe(true);
    expect(dockerfileProblems(dockerfile, ignore.replace('!worker\n', ''))).not.toEqual([]);
    expect(dockerfileProblems(dockerfile, ignore.replace('deploy/docker/*\n', ''))).not.toEqual([]);
    expect(dockerfileProblems(dockerfile, ignore.replace('*\n', ''))).not.toEqual([]);
  });
});

/** Whether the change is in a comment, which no program reads. */
function isComment(mutant: string, wrong: string): boolean {
  return mutant
    .split('\n')
    .some((line) => line.trimStart().startsWith('#') && line.includes(wrong) && wrong !== '');
}
