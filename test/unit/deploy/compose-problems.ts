import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { parseCommand, type ParsedCommand } from '../../../cli/program.ts';
import { messageOf } from '../../../shared/errors.ts';
import {
  composeFile,
  docker,
  mountOf,
  readCompose,
  schemaProblems,
  type Compose,
  type Service,
} from '../../fixtures/deploy/compose.ts';

/** Facts from the documentation of the Compose file. */
export interface Outside {
  /** The files in secrets/ that users make. */
  readonly secrets: readonly string[];
  /** The names for which they make a certificate. */
  readonly certificateNames: readonly string[];
}

/** Reads the facts from the commands in docs/deploy/containers.md. */
export function outsideOf(page: string): Outside {
  const [, names = ''] = /mnist-dist certs ([\w. -]+?) --out secrets/.exec(page) ?? [];
  const made = [...page.matchAll(/> secrets\/([\w.-]+)/g)].map(([, file = '']) => file);
  return {
    secrets: [...made, 'ca.crt', 'ca.key', 'coordinator.crt', 'coordinator.key'],
    certificateNames: names.split(' '),
  };
}

const scrapes = z.strictObject({
  global: z.strictObject({ scrape_interval: z.string(), evaluation_interval: z.string() }),
  rule_files: z.array(z.string()),
  scrape_configs: z.tuple([
    z.strictObject({
      job_name: z.literal('mnist-dist'),
      scrape_interval: z.string(),
      scheme: z.literal('https'),
      tls_config: z.strictObject({ ca_file: z.string() }),
      authorization: z.strictObject({ credentials_file: z.string() }),
      static_configs: z.tuple([z.strictObject({ targets: z.tuple([z.string()]) })]),
    }),
  ]),
});
const dataSource = z.looseObject({
  datasources: z.tuple([
    z.looseObject({ url: z.string(), jsonData: z.looseObject({ timeInterval: z.string() }) }),
  ]),
});
const provider = z.looseObject({
  providers: z.tuple([z.looseObject({ options: z.looseObject({ path: z.string() }) })]),
});

/** Where secrets are, in a container. */
const SECRETS = '/run/secrets/';

/**
 * All that is wrong with the files of Compose, laid over each other. `prometheus` is the text of
 * prometheus.yml.
 */
export function problemsOf(
  texts: readonly string[],
  prometheus: string,
  outside: Outside,
): string[] {
  try {
    const files = texts.map(composeFile);
    const broken = files.flatMap((file) => schemaProblems(file));
    if (broken.length > 0) return broken;
    const compose = readCompose(files, { SECRETS_GID: '1000' });
    return [
      ...Object.entries(compose.services).flatMap(([name, each]) =>
        serviceProblems(name, each, compose),
      ),
      ...Object.entries(compose.secrets).flatMap(([name, { file }]) =>
        problems(`${name}: `, {
          'a secret that no command makes':
            dirname(file) === './secrets' && outside.secrets.includes(basename(file)),
          'a secret with another name than its file': basename(file) === name,
          'the key of the authority belongs to no container': name !== 'ca.key',
        }),
      ),
      ...trainingProblems(compose, outside),
      ...watchingProblems(compose, prometheus),
    ];
  } catch (error) {
    return [messageOf(error)];
  }
}

function serviceProblems(name: string, service: Service, { secrets, volumes }: Compose): string[] {
  const mounts = service.volumes.map(mountOf);
  const words = [...service.entrypoint, ...service.command].join('\n');
  const used = [...words.matchAll(/\/run\/secrets\/([\w.-]+)/g)].map(([, file = '']) => file);
  return problems(`${name}: `, {
    'a secret that is declared nowhere': service.secrets.every(
      (each) => secrets[each] !== undefined,
    ),
    'a path of a secret that it does not get': used.every((each) => service.secrets.includes(each)),
    'a volume that is declared nowhere, or a file that is not there': mounts.every(({ source }) =>
      source.startsWith('.') ? existsSync(join(docker, source)) : source in volumes,
    ),
    'a file of the checkout that it could write to': mounts.every(
      ({ source, isReadOnly }) => !source.startsWith('.') || isReadOnly,
    ),
    'a port that other machines reach': service.ports.every((port) =>
      port.startsWith('127.0.0.1:'),
    ),
    'an image without a version': /:\S+$/.test(service.image),
    'files of secrets that its user cannot read':
      service.secrets.length === 0 || service.group_add.includes('1000'),
  });
}

function trainingProblems({ services }: Compose, { certificateNames }: Outside): string[] {
  const { coordinator, worker } = services;
  const [open, dialling] = [understood(coordinator), understood(worker)];
  if (open.command !== 'coordinator') return [`the coordinator runs ${open.command}`];
  if (dialling.command !== 'worker') return [`the worker runs ${dialling.command}`];
  const again = understood(coordinator, {
    [`/runs/${coordinator.environment['RUN_ID']}/run.json`]: '{ "state": "running" }',
  });
  if (again.command !== 'coordinator') return [`a coordinator that resumes runs ${again.command}`];
  const { hostname: name = '' } = coordinator;
  const { advertise, host, port, httpHost, httpPort, sslCertfile, httpSslCertfile, httpTokenFile } =
    open.options;
  const isGpu = worker.image === 'mnist-dist:cuda';
  return [
    ...[coordinator, worker].flatMap((service) =>
      problems(`${service.image}: `, {
        'more rights than it needs':
          service.cap_drop.includes('ALL') &&
          service.security_opt.includes('no-new-privileges:true'),
        'a root file system that can be written': service.read_only === true,
        'no folder for what is temporary': service.tmpfs.some((each) => each.startsWith('/tmp:')),
        'an image that is not built here': ['mnist-dist:cpu', 'mnist-dist:cuda'].includes(
          service.image,
        ),
        'an image that is built for something else':
          service.build === undefined ||
          (service.build.args?.DEVICE ?? 'cpu') ===
            (service.image === 'mnist-dist:cuda' ? 'gpu' : 'cpu'),
        'a build of something else':
          service.build === undefined ||
          existsSync(join(docker, service.build.context, service.build.dockerfile)),
        'a process 1 that is deaf to signals': service.init === true,
        'too little time to end well': Number.parseInt(service.stop_grace_period ?? '10', 10) >= 30,
      }),
    ),
    ...problems('', {
      'the certificate is not for the coordinator':
        certificateNames.includes(name) && advertise === name,
      'the coordinator does not speak TLS with a token':
        sslCertfile !== undefined && httpSslCertfile !== undefined && httpTokenFile !== undefined,
      'the coordinator is insecure': !open.options.insecure && !dialling.options.insecure,
      'other containers do not reach it': host === '0.0.0.0' && httpHost === '0.0.0.0',
      'it resumes another run, or none':
        open.options.resume === undefined &&
        open.options.runId === coordinator.environment['RUN_ID'] &&
        again.options.resume?.endsWith(`/runs/${open.options.runId}`) === true &&
        again.options.takeOver,
      'runs are kept in no volume':
        open.options.runsDir.endsWith('/runs') &&
        coordinator.volumes.some((each) => mountOf(each).target === '/runs'),
      'workers dial something else':
        dialling.options.coordinator === `wss://${name}:${port}` &&
        dialling.options.sslCaCertfile !== undefined,
      'the page is published elsewhere':
        coordinator.ports.join() === `127.0.0.1:${httpPort}:${httpPort}`,
      'the HEALTHCHECK asks another port':
        httpPort === 9464 && coordinator.healthcheck === undefined,
      'a worker has nothing to ask': worker.healthcheck?.disable === true,
      'a worker has the key of the coordinator': !worker.secrets.includes('coordinator.key'),
      'a GPU and its image do not go together':
        isGpu === (worker.deploy?.['resources'] !== undefined) &&
        isGpu === (dialling.options.device === 'cuda:0'),
    }),
  ];
}

function watchingProblems({ services }: Compose, text: string): string[] {
  const { coordinator, prometheus, grafana } = services;
  const { rule_files, scrape_configs } = scrapes.parse(parse(text));
  const [{ scrape_interval, tls_config, authorization, static_configs }] = scrape_configs;
  const observability = join(docker, '../observability/grafana/provisioning');
  const [source] = dataSource.parse(
    parse(readFileSync(join(observability, 'datasources/prometheus.yml'), 'utf8')),
  ).datasources;
  const [dashboards] = provider.parse(
    parse(readFileSync(join(observability, 'dashboards/mnist-dist.yml'), 'utf8')),
  ).providers;
  const folder = grafana.environment[dashboards.options.path.slice(1)];
  const shown =
    grafana.volumes.map(mountOf).find(({ target }) => target === folder)?.source ?? 'nothing';
  const [, rules = ''] = /^(rules)\/\*\.yml$/.exec(rule_files.join()) ?? [];
  const open = understood(coordinator);
  const httpPort = open.command === 'coordinator' ? open.options.httpPort : undefined;
  return problems('', {
    'Prometheus asks another target':
      static_configs[0].targets[0] === `${coordinator.hostname}:${httpPort}`,
    'Prometheus has no such secret': [tls_config.ca_file, authorization.credentials_file].every(
      (file) => file.startsWith(SECRETS) && prometheus.secrets.includes(file.slice(SECRETS.length)),
    ),
    'Prometheus shows another token than the page wants':
      open.command === 'coordinator' &&
      basename(open.options.httpTokenFile ?? '') === basename(authorization.credentials_file),
    'Prometheus does not read its file': prometheus.volumes.includes(
      './prometheus.yml:/etc/prometheus/prometheus.yml:ro',
    ),
    'Prometheus has no rules': prometheus.volumes.includes(
      `../../dashboards/grafana/rules:/etc/prometheus/${rules}:ro`,
    ),
    'Grafana expects another interval': source.jsonData.timeInterval === scrape_interval,
    'Grafana does not find Prometheus':
      source.url === 'http://127.0.0.1:9090' &&
      grafana.network_mode === 'service:prometheus' &&
      prometheus.ports.includes('127.0.0.1:9090:9090'),
    'Grafana is published nowhere':
      grafana.ports.length === 0 && prometheus.ports.includes('127.0.0.1:3000:3000'),
    'Grafana is not provisioned': grafana.volumes.includes(
      '../observability/grafana/provisioning:/etc/grafana/provisioning:ro',
    ),
    'Grafana has no dashboards': existsSync(join(docker, shown, 'training.json')),
  });
}

/**
 * A service's command as mnist-dist parses it, with its files in a folder of this machine. Throws
 * if mnist-dist cannot parse it.
 */
export function understood(
  service: Service,
  files: Readonly<Record<string, string>> = {},
): ParsedCommand {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-service-'));
  try {
    for (const secret of service.secrets) put(folder, `${SECRETS}${secret}`, `${'x'.repeat(32)}\n`);
    for (const { source, target } of service.volumes.map(mountOf)) {
      if (source.startsWith('./')) put(folder, target, readFileSync(join(docker, source), 'utf8'));
      else mkdirSync(join(folder, target), { recursive: true });
    }
    for (const [path, text] of Object.entries(files)) put(folder, path, text);
    const inside = (word: string) =>
      word.replaceAll(/\/(?:run\/secrets|etc\/mnist-dist|runs)\b/g, `${folder}$&`);
    const argv = wordsOf(
      service.entrypoint.map(inside),
      service.command.map(inside),
      service.environment,
      folder,
    );
    const { RUN_ID: _, ...environment } = service.environment;
    const missing = argv
      .flatMap((word) => /^--[\w-]+file=(.+)$/.exec(word)?.[1] ?? [])
      .find((file) => !existsSync(file));
    if (missing !== undefined) throw new Error(`${missing} is not there`);
    const command = parseCommand(argv, environment, 'test');
    if (command.command === 'print') throw new Error(`"${argv.join(' ')}" is no command`);
    return command;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The words after `mnist-dist`: the entry point runs with one that only prints its arguments. */
function wordsOf(
  [program, ...script]: readonly string[],
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder: string,
): string[] {
  if (program === undefined) return [...command];
  put(folder, '/bin/mnist-dist', `#!/bin/sh\nprintf '%s\\n' "$@"\n`, 0o755);
  const { status, stdout, stderr } = spawnSync(program, [...script, ...command], {
    env: { ...environment, PATH: `${folder}/bin:${process.env['PATH']}` },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stderr}`);
  return stdout.trimEnd().split('\n');
}

function put(folder: string, path: string, text: string, mode = 0o600): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { mode });
}

function problems(prefix: string, checks: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(checks).flatMap(([problem, holds]) => (holds ? [] : `${prefix}${problem}`));
}
