import { mkdtempSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { argumentsFor } from '../../../cli/processes/child-arguments.ts';
import { commandNames } from '../../../cli/command-table.ts';
import {
  flagOf,
  keysOf,
  optionKeys,
  optionOf,
  type OptionKey,
} from '../../../cli/options/options.ts';
import { parseCommand } from '../../../cli/program.ts';
import { defaultVirtualShards } from '../../../shared/arithmetic/virtual-shards.ts';
import { ClusterError, errorTable } from '../../../shared/errors.ts';

const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-cli-'));
const parse = (line: string, environment: Record<string, string> = {}) =>
  parseCommand(line.split(' ').filter(Boolean), environment, '1.2.3');

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function refusal(line: string, environment: Record<string, string> = {}): string {
  try {
    parse(line, environment);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    expect(error.code).toBe('USAGE');
    expect(error.exitCode).toBe(2);
    return `${error.message} | ${error.fix ?? ''}`;
  }
  throw new Error(`"${line}" was accepted`);
}

function local(line: string, environment: Record<string, string> = {}) {
  const parsed = parse(`local ${line}`, environment);
  if (parsed.command !== 'local') throw new Error(`parsed as ${parsed.command}`);
  return parsed;
}

function worker(line: string) {
  const parsed = parse(`worker ${line}`);
  if (parsed.command !== 'worker') throw new Error(`parsed as ${parsed.command}`);
  return parsed.options;
}

describe('help and version', () => {
  test('are printed with exit code 2 without a command', () => {
    expect(parse('')).toMatchObject({
      command: 'print',
      exitCode: 2,
      text: expect.stringContaining('Examples:'),
    });
  });
  test.each(['--help', '-h', 'help', 'help local', 'local --help', 'worker -h'])(
    'print the help of "%s"',
    (line) => {
      expect(parse(line)).toMatchObject({
        command: 'print',
        exitCode: 0,
        text: expect.stringContaining('Usage: mnist-dist'),
      });
    },
  );
  test('print the version', () => {
    expect(parse('--version')).toEqual({ command: 'print', text: '1.2.3\n', exitCode: 0 });
  });
  test('list every exit code', () => {
    const help = parse('--help');
    const text = help.command === 'print' ? help.text : '';
    for (const { exit, meaning } of Object.values(errorTable)) {
      expect(text).toMatch(new RegExp(`^ +${exit}  .*`, 'm'));
      expect(text).toContain(meaning);
    }
  });
  test.each(commandNames)('list exactly the options of %s', (command) => {
    const help = parse(`${command} --help`);
    const text = help.command === 'print' ? help.text : '';
    const listed = [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z0-9-]+)/gm)].map(([, flag]) => flag);
    expect(listed.toSorted()).toEqual([...keysOf(command).map(flagOf), '--help'].toSorted());
  });
});

describe('defaults', () => {
  test('for local are the documented ones', () => {
    const { options, explicit } = local('');
    expect(options).toMatchObject({
      host: '127.0.0.1',
      port: 29400,
      minWorkers: 1,
      epochs: 5,
      steps: undefined,
      batchSize: 32,
      virtualShards: 4,
      learningRate: 0.001,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-7,
      optimizer: 'adam',
      momentum: undefined,
      nesterov: false,
      weightDecay: 0,
      clipNorm: undefined,
      augment: { shift: 0, rotate: 0, zoom: 0 },
      labelSmoothing: 0,
      lrSchedule: 'constant',
      warmup: { steps: 0 },
      lrDecay: undefined,
      lrDecayEvery: undefined,
      lrHorizon: undefined,
      lrFinal: undefined,
      lrBoundaries: undefined,
      lrRates: undefined,
      hidden: [128],
      dropout: 0.2,
      seed: 1,
      runsDir: 'runs',
      nprocPerNode: 2,
      engine: 'auto',
      device: 'auto',
      insecure: false,
      logFormat: 'text',
    });
    expect([...explicit]).toEqual([]);
  });
  test('cover exactly the options of each command', () => {
    const needed: Readonly<Record<string, string>> = {
      certs: 'gpu0',
      compare: 'runs/r runs/s',
      completion: 'bash',
      predict: 'seven.png',
      push: 'runs/r file:store',
      sweep: 'rates.yaml',
      pull: 'file:store/r',
    };
    for (const command of commandNames) {
      const parsed = parse(`${command} ${needed[command] ?? ''}`);
      expect(parsed.command).toBe(command);
      if (parsed.command === 'print') continue;
      expect(Object.keys(parsed.options)).toEqual(keysOf(command));
    }
  });
  test.each([1, 15, 16, 31, 32, 63, 64, 4096])(
    'split a batch of %i according to its size',
    (batchSize) => {
      const { virtualShards } = local(`--batch-size ${batchSize}`).options;
      expect(virtualShards).toBe(defaultVirtualShards(batchSize));
    },
  );
  test("are accepted by their option's parser", () => {
    // Their defaults follow from other options and are described in words.
    const described = new Set<OptionKey>([
      'virtualShards',
      'learningRate',
      'weightDecay',
      'lrHorizon',
    ]);
    for (const key of optionKeys) {
      const { type, defaultText, defaultValue } = optionOf(key);
      if (defaultText === undefined || described.has(key)) continue;
      const settled = [
        {},
        { optimizer: 'sgd' },
        { lrSchedule: 'step' },
        { lrSchedule: 'cosine' },
        { earlyStopping: 3 },
      ];
      expect(
        settled.map((values) => defaultValue(values)),
        key,
      ).toContainEqual(type.parse(defaultText));
    }
  });
});

describe('precedence', () => {
  const config = file(
    'cluster.yaml',
    'batch-size: 16\nepochs: 2\nseed: 3\nengine: wasm\nworkers: [1, 2]\n',
  );
  test('a flag overrides a variable, which overrides the file, which overrides the default', () => {
    const environment = { MNIST_DIST_BATCH_SIZE: '64', MNIST_DIST_EPOCHS: '4' };
    const { options, explicit } = local(`--batch-size 128 --config ${config}`, environment);
    expect(options).toMatchObject({
      batchSize: 128,
      epochs: 4,
      seed: 3,
      engine: 'wasm',
      dropout: 0.2,
    });
    expect([...explicit].toSorted()).toEqual(['batchSize', 'config', 'engine', 'epochs', 'seed']);
  });
  test('the length of a run has the unit of the stronger source', () => {
    const steps = file('steps.yaml', 'steps: 3\n');
    expect(local(`--epochs 4 --config ${steps}`).options).toMatchObject({ epochs: 4 });
    expect(local(`--epochs 4 --config ${steps}`).options.steps).toBeUndefined();
    expect(local('--epochs 4', { MNIST_DIST_STEPS: '3' }).options.steps).toBeUndefined();
    expect(local('--epochs 4 --steps 3').options.steps).toBe(3);
    expect(local('--steps 3', { MNIST_DIST_EPOCHS: '4' }).options.steps).toBe(3);
    expect(local(`--recipe best --config ${steps}`).options.steps).toBe(3);
  });
  test('a variable can specify the file', () => {
    expect(local('', { MNIST_DIST_CONFIG: config }).options.seed).toBe(3);
  });
  test('a flag switches off what a variable switched on, and the last flag wins', () => {
    expect(local('--no-insecure', { MNIST_DIST_INSECURE: '1' }).options.insecure).toBe(false);
    expect(local('--seed 4 --seed 5').options.seed).toBe(5);
  });
  test("empty variables and other programs' variables are ignored", () => {
    const environment = {
      MNIST_DIST_SEED: '',
      MNIST_DIST_CACHE: '/x',
      SEED: 'x',
    };
    expect(local('', environment).explicit.size).toBe(0);
  });
  test('variables that container platforms set for a service are ignored', () => {
    const links = {
      MNIST_DIST_SERVICE_HOST: '10.0.0.1',
      MNIST_DIST_SERVICE_PORT_HTTPS: '9464',
      MNIST_DIST_PORT: 'tcp://10.0.0.1:29400',
      MNIST_DIST_HTTP_PORT: 'tcp://10.0.0.1:80',
      MNIST_DIST_METRICS_PORT: 'tcp://10.0.0.1:9464',
      MNIST_DIST_METRICS_SERVICE_HOST: '10.0.0.1',
      MNIST_DIST_METRICS_SERVICE_PORT: '9464',
      MNIST_DIST_METRICS_PORT_9464_TCP: 'tcp://10.0.0.1:9464',
      MNIST_DIST_METRICS_PORT_9464_TCP_ADDR: '10.0.0.1',
    };
    expect(local('', links).explicit.size).toBe(0);
    expect(refusal('local', { MNIST_DIST_METRICS_PORT: '9464' })).toContain(
      'MNIST_DIST_METRICS_PORT',
    );
    expect(refusal('local', { MNIST_DIST_HOST_URL: 'tcp://10.0.0.1:80' })).toContain(
      'MNIST_DIST_HOST_URL',
    );
  });
  test('a leading tilde stands for the home folder', () => {
    const home = homedir();
    expect(local('--runs-dir=~/x').options.runsDir).toBe(join(home, 'x'));
    expect(local('--runs-dir=~').options.runsDir).toBe(home);
    expect(local('--runs-dir=a/~/x').options.runsDir).toBe('a/~/x');
    expect(local('', { MNIST_DIST_RUNS_DIR: '~/x' }).options.runsDir).toBe(join(home, 'x'));
  });
  test('an option that npm consumed is an error', () => {
    const npm = { npm_lifecycle_event: 'start', npm_config_resume: 'true' };
    expect(refusal('local', npm)).toMatch(
      /npm took --resume as its own option.*npm start -- --resume/s,
    );
    expect(local('', { ...npm, npm_lifecycle_event: 'test' }).explicit.size).toBe(0);
    expect(local('', { npm_lifecycle_event: 'start', npm_config_audit: '' }).explicit.size).toBe(0);
  });
  test('the stronger source decides between --gpu and --cpu; both from one are an error', () => {
    expect(parse('setup --cpu', { MNIST_DIST_GPU: 'true' })).toMatchObject({
      options: { gpu: false, cpu: true },
    });
    expect(refusal('setup --cpu --gpu')).toContain('--gpu and --cpu are mutually exclusive');
  });
});

describe('values', () => {
  test.each([
    ['-n auto', { nprocPerNode: 'auto' }],
    ['-n4', { nprocPerNode: 4 }],
    ['--hidden 256,128', { hidden: [256, 128] }],
    ['--rdzv-timeout 5m', { rdzvTimeout: 300 }],
    ['--rdzv-timeout=300s', { rdzvTimeout: 300 }],
    ['--seed 9007199254740991', { seed: Number.MAX_SAFE_INTEGER }],
    ['--learning-rate 1e-3', { learningRate: 0.001 }],
    ['--port 0', { port: 0 }],
    ['--port 0 --http-port 0', { port: 0, httpPort: 0 }],
    ['--port 9464', { port: 9464, httpPort: 9464 }],
    ['--port 9000 --http-port 9000 --no-http', { port: 9000 }],
    ['--port 9000 --http-port 9000 --http-host ::1', { port: 9000 }],
    ['--device cuda:1', { device: 'cuda:1' }],
  ])('%s', (line, expected) => {
    expect(local(line).options).toMatchObject(expected);
  });
  test.each([
    ['', 'ws://127.0.0.1:29400'],
    ['--coordinator localhost', 'ws://localhost:29400'],
    ['--rdzv-endpoint 127.0.0.1:5', 'ws://127.0.0.1:5'],
    ['--coordinator http://localhost:80/', 'ws://localhost:80'],
    ['--coordinator ws://[::1]:7', 'ws://[::1]:7'],
    ['--coordinator ::1', 'ws://[::1]:29400'],
  ])('worker %s', (line, expected) => {
    expect(worker(line).coordinator).toBe(expected);
  });
  test('that are sizes may have units', () => {
    expect(worker('--max-model-bytes 2MiB --max-data-bytes 1.5GB')).toMatchObject({
      maxModelBytes: 2 * 1024 ** 2,
      maxDataBytes: 1.5e9,
    });
  });
  test('are the same on the command line of a child process', () => {
    const { options } = local(
      '-n 3 --hidden 64,32 --rdzv-timeout 90s --learning-rate 3e-7 --insecure --steps 9',
    );
    const argv = argumentsFor('coordinator', { ...options, port: 7 });
    const parsed = parseCommand(
      argv,
      { MNIST_DIST_SEED: '99', MNIST_DIST_INSECURE: 'no' },
      '1.2.3',
    );
    const {
      nprocPerNode: _n,
      engine: _e,
      device: _d,
      threads: _t,
      maxMemoryBytes: _b,
      maxRestarts: _r,
      ...rest
    } = options;
    expect(parsed).toMatchObject({ command: 'coordinator', options: { ...rest, port: 7 } });
  });
});

describe('an error does not repeat a misplaced secret:', () => {
  const secret = '0123456789abcdef0123456789abcdef';
  const join = `wss://10.0.0.5:29400/#token=${secret}&ca=00`;
  const key = `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`;
  test.each<[string, string, Record<string, string>]>([
    ['a join string as --coordinator', `worker --coordinator ${join}`, {}],
    ['a join string as a variable', 'worker', { MNIST_DIST_COORDINATOR: join }],
    ['a join string as --advertise', `coordinator --advertise ${join}`, {}],
    ['a password in a URL', `worker --coordinator wss://me:${secret}@10.0.0.5:29400`, {}],
    ['a token as --token-file', `worker --token-file ${secret}`, {}],
    ['a token as a variable', 'coordinator', { MNIST_DIST_TOKEN_FILE: secret }],
    ["the page's token", 'coordinator', { MNIST_DIST_HTTP_TOKEN_FILE: secret }],
    ['a key', 'coordinator', { MNIST_DIST_SSL_KEYFILE: key }],
  ])('%s', (_what, line, environment) => {
    const message = refusal(line, environment);
    expect(message).toContain('which may be a secret');
    expect(message).not.toContain(secret);
  });

  test('a join string in a file', () => {
    const path = file('join.yaml', `coordinator: '${join}'\n`);
    expect(refusal(`worker --config ${path}`)).not.toContain(secret);
  });
});

describe('an error states the value, what is allowed and the nearest name', () => {
  test.each([
    ['local --batchsize 3', '--batchsize', '--batch-size'],
    ['local --batch-siz=3', '--batch-siz for local', '--batch-size'],
    ['lokal', 'lokal', 'local'],
    ['--epochs 3', '--epochs', 'option of local and coordinator'],
    ['coordinator -n 3', '-n for coordinator', 'option of local'],
    ['local --insecure=yes', '--insecure', 'is a switch'],
    ['local --no-steps 5', '--no-steps for local', 'did you mean --steps?'],
    ['local --no-http=5', '--no-http does not take a value', 'is a switch'],
    ['coordinator --host fe80::1%eth0', '--host fe80::1%eth0', 'a host name'],
    ['coordinator --host 10.5', '--host 10.5', 'a host name'],
    ['local --http-host 0x0a000005', '--http-host 0x0a000005', 'a host name'],
    ['coordinator --advertise 010.0.0.5', '--advertise 010.0.0.5', 'a host name'],
    ['local more', 'too many arguments', 'local takes flags only'],
    ['verify a b', 'too many arguments', 'verify takes one run and flags'],
    ['verify --form 3', '--form for verify', '--from'],
    ['verify --resume', '--resume for verify', 'option of local and coordinator'],
    ['verify --from 0', '--from 0', '1 to'],
    ['verify --data /nowhere/at/all', '--data /nowhere/at/all', 'existing file or folder'],
    ['local --from 3', '--from for local', 'option of verify'],
    ['local --batch-size', '--batch-size needs a value', '1 to 65536'],
    ['local --batch-size 0', '--batch-size 0', '1 to 65536'],
    ['local --batch-size 3.5', '--batch-size 3.5', 'whole number'],
    ['local --port 70000', '--port 70000', '0 to 65535'],
    ['local --port 9000 --http-port 9000', '--http-port 9000', '--port 9000'],
    ['coordinator --http-port 29400', '--http-port 29400', '--no-http'],
    ['local --dropout 1', '--dropout 1', 'below 1'],
    ['local --dropout NaN', '--dropout NaN', 'below 1'],
    ['local --hidden 128,', '--hidden 128,', 'separated by commas'],
    ['local --model convnet --hidden 8', '--hidden 8', 'only for the model mlp'],
    ['coordinator --dropout 0.5 --model a.yaml', '--dropout 0.5', '--model a.yaml'],
    [
      'verify --model convnet',
      '--model for verify',
      'option of local, coordinator, model and predict',
    ],
    ['local --seed 9007199254740992', '--seed 9007199254740992', '9007199254740991'],
    ['local --rdzv-timeout 5weeks', '--rdzv-timeout 5weeks', '5m'],
    ['local --run-id ../x', '--run-id ../x', 'letters, digits'],
    ['local --virtual-shards 6', '--virtual-shards 6', '4 or 8'],
    ['local --virtual-shards 64', '--batch-size 32 (the default)', '1 to 32'],
    ['local --min-workers 3 --max-workers 2', '--min-workers 3', '--max-workers'],
    ['local -n 3 --max-workers 2', '--nproc-per-node 3', '--max-workers 2'],
    ['local --data /nowhere/emnist-letters', '--data', 'existing file or folder'],
    ['local --test-split 0.1', '--test-split 0.1', 'set --data'],
    ['local --data /nowhere/at/all', '--data /nowhere/at/all', 'existing file or folder'],
    ['local --token-file /nowhere/at/all', '--token-file /nowhere/at/all', 'readable file'],
    ['local --token-file /', '--token-file /', 'readable file'],
    ['worker --engine tensorflo', '--engine tensorflo', 'did you mean tensorflow?'],
    ['worker --coordinator localhost:99999', 'localhost:99999', 'HOST:PORT'],
    ['worker --coordinator 10.0.0.1', '--coordinator 10.0.0.1', '--insecure'],
    ['worker --coordinator a --rdzv-endpoint b', '--rdzv-endpoint', '--help'],
    ['local --host 0.0.0.0', '--host 0.0.0.0', '--insecure'],
    ['coordinator --host 0.0.0.0', '--host 0.0.0.0', '--ssl-certfile'],
    ['eval --host 0.0.0.0', '--host 0.0.0.0', 'mnist-dist certs'],
    ['coordinator --http-host 0.0.0.0', '--http-host 0.0.0.0', '--http-ssl-certfile'],
    [
      'coordinator --http-host 0.0.0.0 --http-ssl-certfile x',
      'without a token',
      '--http-token-file',
    ],
    ['show --http-token-file /nowhere', '--http-token-file /nowhere', 'readable file'],
    ['worker --coordinator wss://x/path', '--coordinator wss://x/path', 'wss://HOST:PORT'],
  ])('%s', (line, named, allowed) => {
    const text = refusal(line);
    expect(text).toContain(named);
    expect(text).toContain(allowed);
  });
  test.each([
    [{ MNIST_DIST_PORT: '70000' }, 'MNIST_DIST_PORT=70000', '0 to 65535'],
    [{ MNIST_DIST_BATCHSIZE: '8' }, 'MNIST_DIST_BATCHSIZE', 'did you mean MNIST_DIST_BATCH_SIZE?'],
  ])('%o', (environment, named, allowed) => {
    const text = refusal('local', environment);
    expect(text).toContain(named);
    expect(text).toContain(allowed);
  });
  test('without the control characters in the value', () => {
    expect(refusal('local --seed \u001b[2J')).toContain('\\u{1b}[2J');
  });
});

test('verify takes an optional run before or after its flags', () => {
  for (const line of ['verify runs/a -n 3', 'verify -n 3 runs/a'])
    expect(parse(line)).toMatchObject({
      operands: ['runs/a'],
      options: { nprocPerNode: 3, from: undefined },
    });
  expect(parse('verify --from 7')).toMatchObject({ operands: [], options: { from: 7 } });
});

test('predict takes one or more images', () => {
  const files = {
    command: 'predict',
    operands: ['a.png', 'b.png'],
    options: { model: 'runs/a', format: 'json' },
  };
  expect(parse('predict a.png --model runs/a --format json b.png')).toMatchObject(files);
  // In a file or an environment that serves all commands, --model may be a model to train.
  const environment = { MNIST_DIST_MODEL: 'convnet' };
  expect(parse('local', environment)).toMatchObject({ options: { model: 'convnet' } });
  expect(parse('predict a.png', environment)).toMatchObject({ options: { model: undefined } });
  expect(parse('predict a.png --model convnet')).toMatchObject({ options: { model: 'convnet' } });
  expect(refusal('predict')).toContain("missing required argument 'image'");
  expect(refusal('predict a.png --format yaml')).toContain('text, json');
});

test('push takes a run and a store; pull takes a run in a store and an optional directory', () => {
  expect(parse('push runs/r s3://b/p')).toMatchObject({
    command: 'push',
    operands: ['runs/r', 's3://b/p'],
  });
  expect(parse('pull s3://b/p/r')).toMatchObject({
    operands: ['s3://b/p/r'],
    options: { runsDir: 'runs' },
  });
  expect(parse('pull s3://b/p/r here')).toMatchObject({ operands: ['s3://b/p/r', 'here'] });
  expect(refusal('push')).toContain("missing required argument 'run'");
  expect(refusal('push runs/r')).toContain("missing required argument 'uri'");
  expect(refusal('push runs/r file:x y')).toContain('push takes one run, one uri and flags');
  expect(refusal('pull')).toContain("missing required argument 'uri'");
});

test('a coordinator may listen for other machines with a token and --insecure', () => {
  const token = file('token', 'x'.repeat(32));
  expect(parse(`coordinator --host 0.0.0.0 --insecure --token-file ${token}`).command).toBe(
    'coordinator',
  );
  expect(
    parse('coordinator --host :: --insecure', { MNIST_DIST_TOKEN: 'x'.repeat(32) }).command,
  ).toBe('coordinator');
});
