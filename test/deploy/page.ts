import { readFileSync } from 'node:fs';
import type { Outside } from './problems.ts';

export const page = readFileSync(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8');

/** The commands of the page, whole, without the backslashes that break them. */
export function commandsOf(text: string): string[] {
  const blocks = [...text.replaceAll(/\\\n\s*/g, '').matchAll(/^ {4}(\S.*)$/gm)];
  return blocks.map(([, line = '']) => line.replace(/ +# .*$/, ''));
}

/** What users are told to make besides the manifests. */
export function outsideOf(text: string): Outside {
  const commands = commandsOf(text);
  const words = (start: string) =>
    commands
      .find((command) => command.includes(start))
      ?.split(start)[1]
      ?.trim()
      .split(/ +/) ?? [];
  const [name = '', ...options] = words('create secret generic');
  const namespace = /-n (\S+) create secret/.exec(text)?.[1] ?? '';
  const keys = options.flatMap((option) => /^--from-file=(?:\S*\/)?(\S+)$/.exec(option)?.[1] ?? []);
  return { secret: { name, namespace, keys }, certificateNames: words('mnist-dist certs') };
}
