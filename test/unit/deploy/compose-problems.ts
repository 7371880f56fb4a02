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

/** Facts from the Compose file's documentation. */
export interface Outside {
  /** The files in secrets/ that users create. */
  readonly secrets: readonly string[];
  /** The names for which users create a certificate. */
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

/** The folder for secrets in a container. */
const SECRETS = '/run/secrets/';

/**
 * The problems in the Compose files, which are merged in this order. `prometheus` is the text of
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
          'no documented command creates this secret':
            dirname(file) === './secrets' && outside.secrets.includes(basename(file)),
          "this secret's name differs from its file's": basename(file) === name,
          "a container could get the authority's key": name !== 'ca.key',
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
    'it uses an undeclared secret': service.secrets.every((each) => secrets[each] !== undefined),
    'it uses a secret that is not mounted': used.every((each) => service.secrets.includes(each)),
    'it mounts an undeclared volume or a missing file': mounts.every(({ source }) =>
      source.startsWith('.') ? existsSync(join(docker, source)) : source in volumes,
    ),
    'it could write to a file in the checkout': mounts.every(
      ({ source, isReadOnly }) => !source.startsWith('.') || isReadOnly,
    ),
    'other machines can reach one of its ports': service.ports.every((port) =>
      port.startsWith('127.0.0.1:'),
    ),
    'its image has no version': /:\S+$/.test(service.image),
    'its user cannot read the files of its secrets':
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
  if (again.command !== 'coordinator') return [`to resume, the coordinator runs ${again.command}`];
  const { hostname: name = '' } = coordinator;
  const { advertise, host, port, httpHost, httpPort, sslCertfile, httpSslCertfile, httpTokenFile } =
    open.options;
  const isGpu = worker.image === 'mnist-dist:cuda';
  return [
    ...[coordinator, worker].flatMap((service) =>
      problems(`${service.image}: `, {
        'it has more rights than it needs':
          service.cap_drop.includes('ALL') &&
          service.security_opt.includes('no-new-privileges:true'),
        'its root file system is writable': service.read_only === true,
        'it has no folder for temporary files': service.tmpfs.some((each) =>
          each.startsWith('/tmp:'),
        ),
        'its image is not built here': ['mnist-dist:cpu', 'mnist-dist:cuda'].includes(
          service.image,
        ),
        'its image is built for the wrong device':
          service.build === undefined ||
          (service.build.args?.DEVICE ?? 'cpu') ===
            (service.image === 'mnist-dist:cuda' ? 'gpu' : 'cpu'),
        'its Dockerfile does not exist':
          service.build === undefined ||
          existsSync(join(docker, service.build.context, service.build.dockerfile)),
        'its process 1 ignores signals': service.init === true,
        'it has too little time to end cleanly':
          Number.parseInt(service.stop_grace_period ?? '10', 10) >= 30,
      }),
    ),
    ...problems('', {
      'the certificate is not for the coordinator':
        certificateNames.includes(name) && advertise === name,
      'the coordinator does not use TLS, or its page does not require a token':
        sslCertfile !== undefined && httpSslCertfile !== undefined && httpTokenFile !== undefined,
      'a command has --insecure': !open.options.insecure && !dialling.options.insecure,
      'other containers cannot reach the coordinator': host === '0.0.0.0' && httpHost === '0.0.0.0',
      'the coordinator does not resume its own run':
        open.options.resume === undefined &&
        open.options.runId === coordinator.environment['RUN_ID'] &&
        again.options.resume?.endsWith(`/runs/${open.options.runId}`) === true &&
        again.options.takeOver,
      'the runs are not in a volume':
        open.options.runsDir.endsWith('/runs') &&
        coordinator.volumes.some((each) => mountOf(each).target === '/runs'),
      'workers do not dial the coordinator, or do not trust its authority':
        dialling.options.coordinator === `wss://${name}:${port}` &&
        dialling.options.sslCaCertfile !== undefined,
      'the page is not published on loopback':
        coordinator.ports.join() === `127.0.0.1:${httpPort}:${httpPort}`,
      'the HEALTHCHECK requests a different port':
        httpPort === 9464 && coordinator.healthcheck === undefined,
      'a worker has a health check, but does not listen': worker.healthcheck?.disable === true,
      "a worker has the coordinator's key": !worker.secrets.includes('coordinator.key'),
      'a worker has a GPU without the image for GPUs, or that image without a GPU':
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
    'Prometheus scrapes a different target':
      static_configs[0].targets[0] === `${coordinator.hostname}:${httpPort}`,
    'Prometheus uses a secret that is not mounted': [
      tls_config.ca_file,
      authorization.credentials_file,
    ].every(
      (file) => file.startsWith(SECRETS) && prometheus.secrets.includes(file.slice(SECRETS.length)),
    ),
    'Prometheus does not send the token that the page requires':
      open.command === 'coordinator' &&
      basename(open.options.httpTokenFile ?? '') === basename(authorization.credentials_file),
    'Prometheus does not mount its configuration': prometheus.volumes.includes(
      './prometheus.yml:/etc/prometheus/prometheus.yml:ro',
    ),
    'Prometheus has no rules': prometheus.volumes.includes(
      `../../dashboards/grafana/rules:/etc/prometheus/${rules}:ro`,
    ),
    'Grafana assumes a different interval': source.jsonData.timeInterval === scrape_interval,
    'Grafana cannot reach Prometheus':
      source.url === 'http://127.0.0.1:9090' &&
      grafana.network_mode === 'service:prometheus' &&
      prometheus.ports.includes('127.0.0.1:9090:9090'),
    'Grafana is not published':
      grafana.ports.length === 0 && prometheus.ports.includes('127.0.0.1:3000:3000'),
    'Grafana is not provisioned': grafana.volumes.includes(
      '../observability/grafana/provisioning:/etc/grafana/provisioning:ro',
    ),
    'Grafana has no dashboards': existsSync(join(docker, shown, 'training.json')),
  });
}

/**
 * A service's command as mnist-dist parses it, with its files in a folder on this machine. Throws
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
    if (missing !== undefined) throw new Error(`${missing} does not exist`);
    const command = parseCommand(argv, environment, 'test');
    if (command.command === 'print') throw new Error(`"${argv.join(' ')}" is not a command`);
    return command;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The arguments of `mnist-dist`: the entry point runs a fake that only prints its arguments. */
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
  if (status !== 0) throw new Error(`${program} exited with ${status}: ${stderr}`);
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
