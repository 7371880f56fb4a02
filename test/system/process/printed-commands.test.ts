import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { shellWord } from '../../../shared/shell-word.ts';
import { filesUnder, makeRun, resultsOfRun } from '../../fixtures/store/stored-run.ts';
import { executable } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const root = dirname(dirname(executable));

/**
 * Runs a line in a shell in this folder, as a user would, regardless of how this test was started.
 */
function shell(line: string, folder: string, path: string[] = []): string {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|INIT_CWD|MNIST_DIST_INTERNAL_)/.test(name),
  );
  const outside = (process.env['PATH'] ?? '')
    .split(':')
    .filter((each) => !each.endsWith('node_modules/.bin'));
  const environment = { ...Object.fromEntries(own), PATH: [...path, ...outside].join(':') };
  const result = spawnSync('sh', ['-c', line], { cwd: folder, env: environment, encoding: 'utf8' });
  expect(result.status, `${line}\n${result.stdout}${result.stderr}`).toBe(0);
  return result.stdout;
}

it.each([
  ['node in the checkout', 'node bin/mnist-dist.mjs', root, []],
  ['npx in a folder of the checkout', 'npx mnist-dist', join(root, 'test', 'unit'), []],
  ['node in another folder', `node ${executable}`, undefined, []],
  ['a global installation', 'mnist-dist', undefined, ['global']],
])('a printed command works when it is pasted: %s', (_way, program, where, links) => {
  const folder = join(temporaryFolder(), "a user's folder");
  mkdirSync(folder);
  const path = links.map((name) => join(folder, name));
  for (const bin of path) {
    mkdirSync(bin);
    symlinkSync(executable, join(bin, 'mnist-dist'));
  }
  const run = makeRun(join(folder, 'runs'));
  const uri = `file:${join(folder, 'store')}`;
  const stands = where ?? folder;
  const printed = shell(`${program} push ${shellWord(run)} ${shellWord(uri)}`, stands, path);
  const [, line = ''] = /^download it with: (.*)$/m.exec(printed) ?? [];
  expect(line.startsWith(`${program} pull '`), printed).toBe(true);
  const fetched = join(folder, 'new one');
  shell(`${line} ${shellWord(fetched)}`, stands, path);
  expect(filesUnder(fetched)).toEqual(resultsOfRun);
});
