import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { validate } from 'dockerfile-utils';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** An instruction with its words, continuation lines joined. */
export interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** The stages of a Dockerfile, each beginning with its FROM. */
export function stagesOf(text: string): Instruction[][] {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const stages: Instruction[][] = [];
  for (const line of lines) {
    const [, name = '', words = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, text: words });
  }
  return stages;
}

/** What a Dockerfile's grammar has against it. */
export function grammarProblems(text: string): string[] {
  return validate(text).map(
    ({ message, range }) =>
      `line ${range.start.line + 1}: ${typeof message === 'string' ? message : message.value}`,
  );
}

/** Words of a COPY that are paths of the checkout; none for one out of another stage. */
export function copiedPaths({ name, text }: Instruction): string[] {
  if (name !== 'COPY' || text.startsWith('--from=')) return [];
  return text.split(/\s+/).slice(0, -1);
}

/** NAME=VALUE of an ENV. */
export function variablesOf(stage: readonly Instruction[]): Record<string, string> {
  const words = stage.filter(({ name }) => name === 'ENV').flatMap(({ text }) => text.split(/\s+/));
  return Object.fromEntries(
    words.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]),
  );
}

/** Whether a file of the checkout reaches a build; the patterns that .dockerignore has: names, `*`, and `!` before them. */
export function reachesBuild(
  path: string,
  ignore = readFileSync(join(root, '.dockerignore'), 'utf8'),
): boolean {
  let reaches = true;
  for (const line of ignore.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const pattern = line.replace(/^!/, '').replaceAll('.', '\\.').replaceAll('*', '[^/]*');
    if (new RegExp(`^${pattern}(/|$)`).test(path)) reaches = line.startsWith('!');
  }
  return reaches;
}
