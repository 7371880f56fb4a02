import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Words that comments, messages and documents must not contain, with their replacements. */
const words: readonly (readonly [word: string, instead: string])[] = [
  ['whoever|whomever', 'the actor: worker, peer, caller, user'],
  ['nobody|somebody', 'the actor, or the passive: "no worker", "is not read"'],
  ['whatever', 'what it depends on: "for any number of workers"'],
  ['goes on|go on|going on|went on|gone on', 'resumes, continues, retries'],
  ['to be had', 'available'],
  ['at work on', 'running'],
];
/** A sentence that opens with its object makes its reader wait for the subject. */
const openings: readonly (readonly [opening: RegExp, instead: string])[] = [
  [/(?:^\s*(?:\*|\/\/|\/\*\*|#|-) |[.!?] )Of [a-z]/, 'the subject first'],
  [/(?:^\s*(?:\*|\/\/|\/\*\*|#|-) |[.!?] )Who(?:ever)? [a-z]/, 'the actor'],
];
/** The only lines that may contain one of these words: system names and quotations. */
const exceptions = [/\bnobody:(nogroup|nobody)\b/, /user (named )?.?nobody/];

const folders = [
  'artifacts',
  'bin',
  'cli',
  'coordinator',
  'dashboards',
  'deploy',
  'docs',
  'shared',
];
const texts = /\.(ts|mjs|md|sh|cc|py|ya?ml|html|css|env|conf|service|sbatch|bash)$|Dockerfile$/;

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => join(folder, file))
    .filter((file) => texts.test(file));
}

const lines = [
  ...readdirSync(root).filter((file) => texts.test(file)),
  ...[...folders, 'test', 'worker'].flatMap(filesBelow),
]
  .filter((file) => file !== 'test/language.test.ts')
  .flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .map((line, i) => ({ line, file, place: `${file}:${i + 1}: ${line.trim()}` })),
  );

/** `file:line: text` of each line for which `isWrong` returns true. */
function linesWhere(isWrong: (line: string, file: string) => boolean): string[] {
  return lines.filter(({ line, file }) => isWrong(line, file)).map(({ place }) => place);
}

it.each(words)('no line contains "%s" instead of %s', (word) => {
  const pattern = new RegExp(`\\b(?:${word})\\b`, 'i');
  const found = linesWhere(
    (line) => pattern.test(line) && !exceptions.some((exception) => exception.test(line)),
  );
  expect(found).toEqual([]);
});

it.each(openings)('no sentence opens with %s instead of %s', (opening) => {
  expect(linesWhere((line) => opening.test(line))).toEqual([]);
});

it('no line has more than 100 columns, except for addresses, long names and table rows', () => {
  const isExempt = (line: string, file: string) =>
    /\S{60}/.test(line) || (file.endsWith('.md') && /^\s*\|/.test(line));
  expect(linesWhere((line, file) => line.length > 100 && !isExempt(line, file))).toEqual([]);
});
