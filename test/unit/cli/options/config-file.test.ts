import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfig, readConfigFile } from '../../../../cli/options/config-file.ts';
import { parseGiven } from '../../../../cli/options/origin.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import { MAX_CONFIG_FILE_BYTES } from '../../../../shared/limits.ts';

const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-config-'));

function values(text: string): Record<string, unknown> {
  return Object.fromEntries(
    [...parseConfig(text, 'a.yaml')].map(([key, given]) => [key, parseGiven(key, given)]),
  );
}

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'USAGE')
      return `${error.message} | ${error.fix ?? ''}`;
    throw error;
  }
  throw new Error('accepted');
}

test('reads scalars, quoted scalars and lists', () => {
  const text =
    '# all\nbatch-size: 64 # here\nhidden: [256, 128]\ninsecure: yes\n' +
    'name: "w-1"\nrdzv-timeout: 5m\nthreads:   2\n';
  expect(values(text)).toEqual({
    batchSize: 64,
    hidden: [256, 128],
    insecure: true,
    name: 'w-1',
    rdzvTimeout: 300,
    threads: 2,
  });
});

test('preserves the precision of numbers', () => {
  expect(values('seed: 9007199254740991\nlearning-rate: 1e-3')).toEqual({
    seed: 9007199254740991,
    learningRate: 0.001,
  });
  expect(refusal(() => values('seed: 9007199254740993'))).toContain(
    'a.yaml:1: seed: 9007199254740993',
  );
});

test.each(['', '# nothing\n', '---\n', '{}'])(
  'reads an empty file as one without options: %j',
  (text) => {
    expect(values(text)).toEqual({});
  },
);

test('treats an alias as the same option', () => {
  expect(values('rdzv-endpoint: localhost:1')).toEqual({ coordinator: 'ws://localhost:1' });
  expect(refusal(() => values('rdzv-endpoint: a\ncoordinator: b'))).toContain('a.yaml:2');
});

describe('an error states the file and the line', () => {
  test.each([
    ['epochs: 1\nbatchsize: 3', 'a.yaml:2', 'did you mean batch-size?'],
    ['batch_size: 3', 'a.yaml:1', 'did you mean batch-size?'],
    ['batchSize: 3', 'a.yaml:1', 'did you mean batch-size?'],
    ['epochs: 1\n\nport: 70000', 'a.yaml:3: port: 70000', '0 to 65535'],
    ['epochs: 1\nepochs: 2', 'a.yaml:2', 'duplicate key'],
    ['epochs:', 'a.yaml:1', 'no value'],
    ['hidden: {a: 1}', 'a.yaml:1', 'nested'],
    ['hidden: [[1]]', 'a.yaml:1', 'nested'],
    ['epochs: &a 1\nsteps: *a', 'a.yaml:2', 'alias'],
    ['- epochs', 'a.yaml:1', 'not a map'],
    ['epochs', 'a.yaml:1', 'not a map'],
    ['config: b.yaml', 'a.yaml:1', '--config FILE as a flag'],
    ['epochs: [1', 'a.yaml:', 'YAML'],
    ['epochs: 1\n---\nsteps: 2', 'a.yaml:2', 'is one YAML document | delete the line "---"'],
    ['no-http: true', 'a.yaml:1', 'is unknown | write "http: false"'],
    ['no_pictures: true', 'a.yaml:1', 'write "pictures: false"'],
    ['no-dashboard: true', 'a.yaml:1', 'write "http: false"'],
    ['no-epochs: true', 'a.yaml:1', 'a key is a flag'],
    ['epochs: !!js/function 1', 'a.yaml:1', 'YAML'],
    ['[1]: 2', 'a.yaml', 'not a name'],
  ])('%j', (text, place, what) => {
    const said = refusal(() => values(text));
    expect(said).toContain(place);
    expect(said).toContain(what);
  });
});

test('rejects a file that is too large, missing, a folder, or not UTF-8', () => {
  const path = join(folder, 'x.yaml');
  writeFileSync(path, `seed: 1\n${'#'.repeat(MAX_CONFIG_FILE_BYTES - 8)}`);
  expect(readConfigFile(path).size).toBe(1);
  writeFileSync(path, `seed: 1\n${'#'.repeat(MAX_CONFIG_FILE_BYTES - 7)}`);
  expect(refusal(() => readConfigFile(path))).toContain(String(MAX_CONFIG_FILE_BYTES));
  writeFileSync(path, Buffer.from([0x61, 0xff]));
  expect(refusal(() => readConfigFile(path))).toContain('UTF-8');
  expect(refusal(() => readConfigFile(folder))).toContain('cannot be read');
  expect(refusal(() => readConfigFile(join(folder, 'none')))).toContain('cannot be read');
});

test('one file serves all commands, and each of them rejects an invalid value in it', () => {
  const path = join(folder, 'cluster.yaml');
  writeFileSync(path, 'nproc-per-node: 4\ncoordinator: localhost:5\nseed: 7\n');
  expect(parseCommand(['worker', '--config', path], {}, '1')).toMatchObject({
    options: { coordinator: 'ws://localhost:5' },
  });
  expect(parseCommand(['local', '--config', path], {}, '1')).toMatchObject({
    options: { nprocPerNode: 4, seed: 7 },
  });
  writeFileSync(path, 'nproc-per-node: four\n');
  expect(refusal(() => parseCommand(['worker', '--config', path], {}, '1'))).toContain(
    'cluster.yaml:1',
  );
});

describe('a file with a join string', () => {
  const path = join(folder, 'my worker.yaml');
  const write = (text: string, mode: number): void => {
    writeFileSync(path, text);
    chmodSync(path, mode);
  };

  test.each([0o644, 0o604, 0o660])('is rejected with mode %o', (mode) => {
    write(`join: wss://gpu0:29400/#token=${'x'.repeat(32)}&ca=${'0'.repeat(64)}\n`, mode);
    const said = refusal(() => readConfigFile(path));
    expect(said).toContain(`${path} (join) contains a secret`);
    expect(said).toContain(`chmod 600 '${path}'`);
    expect(said).not.toContain('xxx');
  });

  test('is accepted with mode 600, and with any mode if it only says to read stdin', () => {
    write(`join: wss://gpu0:29400/#token=${'x'.repeat(32)}\n`, 0o600);
    expect(readConfigFile(path).size).toBe(1);
    write('join: "-"\nname: w\n', 0o644);
    expect(readConfigFile(path).size).toBe(2);
    write('name: w\n', 0o666);
    expect(readConfigFile(path).size).toBe(1);
  });
});
