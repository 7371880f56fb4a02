import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { parseCommand } from '../../../cli/program.ts';
import { messageOf } from '../../../shared/errors.ts';
import {
  copiedPaths,
  grammarProblems,
  reachesBuild,
  root,
  stagesOf,
  variablesOf,
} from '../../fixtures/deploy/dockerfile.ts';

const included = z
  .object({ include: z.array(z.string()) })
  .parse(JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')))
  .include.map((entry) => entry.split('/')[0] ?? '');

/** Paths that the build context must contain, and paths that it must not contain. */
const wanted = [...included, 'bin/mnist-dist.mjs', 'tsconfig.json', '.npmrc'];
const unwanted = [
  '.git/config',
  '.env',
  'node_modules/ws/package.json',
  'dist/cli/entry.js',
  'runs/1/join',
  'certs/ca.key',
  'token',
  'deploy/docker/secrets/token',
  'deploy/docker/.env',
  '.mnist-dist/lock',
  'test/tidy.test.ts',
];

/** The problems in our Dockerfile and its .dockerignore. */
export function dockerfileProblems(text: string, ignore: string): string[] {
  const grammar = grammarProblems(text);
  if (grammar.length > 0) return grammar;
  const stages = stagesOf(text);
  const last = stages.at(-1) ?? [];
  const all = stages.flat();
  const wordsOf = (name: string) =>
    last.filter((each) => each.name === name).map((each) => each.text);
  const copied = all.flatMap(copiedPaths).filter((path) => path !== '.');
  const setups = all.flatMap(({ text }) =>
    [...text.matchAll(/mnist-dist\.mjs (setup[^&|;]*)/g)].map(([, words = '']) =>
      words.trim().split(/\s+/),
    ),
  );
  const [health = ''] = wordsOf('HEALTHCHECK');
  return Object.entries({
    'the stages have different base images':
      new Set(
        all
          .filter(({ name, text }) => name === 'FROM' && text.startsWith('node:'))
          .map(({ text }) => text.split(' ')[0]),
      ).size === 1,
    'it runs as root': /^[1-9]\d*:[1-9]\d*$/.test(wordsOf('USER').at(-1) ?? ''),
    'its stop signal is not SIGTERM': wordsOf('STOPSIGNAL').join() === 'SIGTERM',
    'its HEALTHCHECK does not run healthy.mjs': health.includes(
      '["node", "/opt/mnist-dist/healthy.mjs"]',
    ),
    'its ENTRYPOINT or its CMD is wrong':
      wordsOf('ENTRYPOINT').join() === '["mnist-dist"]' &&
      wordsOf('CMD').join() === '["coordinator"]',
    'the last stage installs something': !wordsOf('RUN').some((words) =>
      /apt|npm|pip|g\+\+/.test(words),
    ),
    'DEVICE is not an argument with the default cpu': all.some(
      ({ name, text }) => name === 'ARG' && text === 'DEVICE=cpu',
    ),
    'it contains settings from the build machine':
      !/registry|index-url|proxy|certificates\.crt|https?:/i.test(text),
    'a copied file is missing, or is not in the build context': copied.every(
      (path) => existsSync(join(root, path)) && reachesBuild(path, ignore),
    ),
    'a source is not in the build context': wanted.every((path) => reachesBuild(path, ignore)),
    'a private file is in the build context': !unwanted.some((path) => reachesBuild(path, ignore)),
    'mnist-dist does not know a variable': understands(['coordinator'], variablesOf(last)),
    'mnist-dist does not know a set-up flag':
      setups.length > 0 &&
      setups.every((words) =>
        ['cpu', 'gpu'].every((device) =>
          understands(
            words.map((word) => word.replaceAll('"', '').replace('$DEVICE', device)),
            {},
          ),
        ),
      ),
  }).flatMap(([problem, holds]) => (holds ? [] : problem));
}

function understands(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): boolean {
  try {
    return parseCommand(argv, environment, 'test').command === argv[0];
  } catch (error) {
    return messageOf(error) === '';
  }
}
