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
  it('fits Compose, mnist-dist, its documentation and itself, with and without GPUs', () => {
    expect(problemsOf([compose], prometheus, outside)).toEqual([]);
    expect(problemsOf([compose, cuda], prometheus, outside)).toEqual([]);
  });

  it.each([
    ['a misspelt field', 'stop_grace_period:', 'stop_grace_time:'],
    ['a field of another type', 'init: true', 'init: [true]'],
    ['a misspelt flag', '--http-linger=', '--http-lingers='],
    ['a misspelt flag of workers', '--engine=', '--engines='],
    ['an impossible value', '=tensorflow', '=torch'],
    ['an option in its file', './training.yaml:', './prometheus.yml:'],
    ['the place of that file', '/etc/mnist-dist/training.yaml:ro', '/etc/mnist-dist/train.yaml:ro'],
    ['the port it listens on', '--port=29400', '--port=29401'],
    ['the port workers dial', 'coordinator:29400', 'coordinator:29401'],
    ['the name workers dial', 'wss://coordinator', 'wss://coordinators'],
    ['its scheme', 'wss://', 'ws://'],
    ['its name', 'hostname: coordinator', 'hostname: master'],
    ['the name it gives', '--advertise=coordinator', '--advertise=master'],
    ['the port of the page', '--http-port=9464', '--http-port=9465'],
    ['where the page is published', "['127.0.0.1:9464:9464']", "['9464:9464']"],
    ['a path of a secret', '/run/secrets/token', '/run/secrets/tokens'],
    ['a secret of the coordinator', ', http-token]', ']'],
    ['a secret of the worker', '[ca.crt, token]', '[token]'],
    ['a key too many', 'secrets: [ca.crt, token]', 'secrets: [ca.crt, token, coordinator.key]'],
    ['the file of a secret', 'secrets/coordinator.key', 'secrets/tls.key'],
    ['the group of the secrets', "group_add: ['${SECRETS_GID", "group_add: ['${SECRET_GID"],
    ['a variable', '$$RUN_ID', '$RUN_ID'],
    ['the variable of the script', 'RUN_ID: ', 'RUN: '],
    ['how it resumes', '--take-over "$$@"', '"$$@"'],
    ['what it resumes', '--resume "$$run"', '--resume'],
    ['the name of the run', '--run-id "$$RUN_ID"', ''],
    ['the volume of runs', 'runs:/runs', 'run:/runs'],
    ['its place', 'runs:/runs', 'runs:/data'],
    ['more rights', 'cap_drop: [ALL]', 'cap_drop: []'],
    ['a root file system that can be written', 'read_only: true', 'read_only: false'],
    ['no /tmp', "['/tmp:", "['/temp:"],
    ['a probe of a worker', '{ disable: true }', '{ disable: false }'],
    ['the image', 'image: mnist-dist:cpu', 'image: mnist-dist:latest'],
    ['the Dockerfile', 'dockerfile: deploy/docker/Dockerfile', 'dockerfile: Dockerfile'],
    ['insecurity', '--no-shared-memory', '--insecure'],
    ['the rules', '/etc/prometheus/rules:ro', '/etc/prometheus/rule:ro'],
    ['the provisioning', '../observability/grafana/provisioning:', '../observability/grafana:'],
    ['the dashboards', 'DASHBOARDS: /dashboards', 'DASHBOARDS: /dashboard'],
    ['where Grafana finds Prometheus', 'service:prometheus', 'service:coordinator'],
    ['where Grafana is published', ", '127.0.0.1:3000:3000'", ''],
    ['what Grafana could write to', ':/dashboards:ro', ':/dashboards'],
  ])('is rejected with a mistake in %s', (_, right, wrong) => {
    const mutants = replacements(compose, right, wrong).filter(
      (mutant) => !isComment(mutant, wrong),
    );
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants)
      expect(problemsOf([mutant], prometheus, outside), right).not.toEqual([]);
  });

  it.each([
    ['the image', 'mnist-dist:cuda', 'mnist-dist:cpu'],
    ['what it is built for', 'DEVICE: gpu', 'DEVICE: cpu'],
    ['a build argument', 'DEVICE: gpu', 'DEVICES: gpu'],
    ['its device', 'cuda:0', 'cpu'],
    ['a variable', 'MNIST_DIST_DEVICE', 'MNIST_DIST_DEVICES'],
    ['the GPU', 'reservations:', 'reservation:'],
  ])('is rejected with a mistake for GPUs in %s', (_, right, wrong) => {
    const mutants = replacements(cuda, right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants)
      expect(problemsOf([compose, mutant], prometheus, outside), right).not.toEqual([]);
  });

  it.each([
    ['the target', 'coordinator:9464', 'coordinator:9400'],
    ['the scheme', 'scheme: https', 'scheme: http'],
    ['the authority', 'secrets/ca.crt', 'secrets/ca.pem'],
    ['the token', 'secrets/http-token', 'secrets/token'],
    ['the rules', 'rules/*.yml', 'rule/*.yml'],
    ['the name', 'job_name: mnist-dist', 'job_name: mnist'],
    ['the interval', 'scrape_interval: 1s', 'scrape_interval: 5s'],
  ])('is rejected with a mistake for Prometheus in %s', (_, right, wrong) => {
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
  it('is what Docker, mnist-dist and the checkout expect', () => {
    expect(dockerfileProblems(dockerfile, ignore)).toEqual([]);
  });

  it.each([
    ['an instruction', 'STOPSIGNAL', 'STOPSIGNALS'],
    ['a signal', 'SIGTERM', 'SIGKILL'],
    ['its user', 'USER 10001:10001', 'USER root'],
    ['the base of a stage', 'FROM node:22-bookworm-slim\n', 'FROM node:24-bookworm-slim\n'],
    ['its health', '"/opt/mnist-dist/healthy.mjs"', '"/opt/mnist-dist/health.mjs"'],
    ['a file', 'COPY worker/native/support.cc', 'COPY worker/native/supports.cc'],
    ['a variable', 'MNIST_DIST_RUNS_DIR', 'MNIST_DIST_RUN_DIR'],
    ['the set-up', ' setup ', ' setups '],
    ['a flag of the set-up', '--offline', '--off-line'],
    ['the device', 'ARG DEVICE=cpu', 'ARG DEVICE=gpu'],
    ['what the last stage installs', 'RUN useradd', 'RUN npm install -g npm && useradd'],
    ['where packages come from', 'RUN npm ci', 'RUN npm ci --registry=https://registry.example'],
  ])('is rejected with a mistake in %s', (_, right, wrong) => {
    const mutants = replacements(dockerfile, right, wrong);
    expect(mutants.length, right).toBeGreaterThan(0);
    for (const mutant of mutants) expect(dockerfileProblems(mutant, ignore), right).not.toEqual([]);
  });

  it('gets exactly the files that a build needs', () => {
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
