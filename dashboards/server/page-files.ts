import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClusterError } from '../../shared/errors.ts';

/** One file of the live page, ready to be sent. */
export interface PageFile {
  /** Content-Type. */
  readonly type: string;
  readonly body: Buffer;
}

export interface PageFiles {
  /**
   * What a path of a request stands for; undefined for every other path. No path from outside
   * reaches the disk.
   */
  get(path: string): PageFile | undefined;
  /** Go with each of these files. */
  readonly headers: Readonly<Record<string, string>>;
}

const JAVASCRIPT = 'text/javascript; charset=utf-8';
/** The folders with modules for browsers, and where the browser finds them. */
const browserFolders = [
  ['dashboards/page', '/'],
  ['shared/digit', '/shared/digit/'],
  ['shared/text', '/shared/text/'],
] as const;
const CSS = 'text/css; charset=utf-8';

/** Reads all of the live page, once. Throws SETUP if it is not built. */
export function readPageFiles(): PageFiles {
  const sources = fileURLToPath(
    findFolder(['../page/', '../../../dashboards/page/'], 'index.html'),
  );
  const built = fileURLToPath(
    findFolder(['../../browser/', '../../dist/browser/'], 'dashboards/page/main.js'),
  );
  const charts = createRequire(import.meta.url).resolve('uplot/dist/uPlot.esm.js');
  const index = readFileSync(join(sources, 'index.html'));
  const files = new Map<string, PageFile>([
    ['/', { type: 'text/html; charset=utf-8', body: index }],
    ['/style.css', { type: CSS, body: readFileSync(join(sources, 'style.css')) }],
    ['/favicon.svg', { type: 'image/svg+xml', body: readFileSync(join(sources, 'favicon.svg')) }],
    ['/uplot.js', { type: JAVASCRIPT, body: readFileSync(charts) }],
    ['/uplot.css', { type: CSS, body: readFileSync(join(charts, '../uPlot.min.css')) }],
  ]);
  for (const [folder, place] of browserFolders) {
    for (const name of readdirSync(join(built, folder)).filter((name) => name.endsWith('.js')))
      files.set(`${place}${name}`, {
        type: JAVASCRIPT,
        body: readFileSync(join(built, folder, name)),
      });
  }
  return { get: (path) => files.get(path), headers: headersFor(index.toString('utf8')) };
}

/** The page may load what this listener serves and nothing else, and be part of no other page. */
function headersFor(index: string): Record<string, string> {
  const inline = /<script type="importmap">([^]*?)<\/script>/.exec(index)?.[1] ?? '';
  const digest = createHash('sha256').update(inline).digest('base64');
  const policy = {
    'default-src': "'none'",
    'script-src': `'self' 'sha256-${digest}'`,
    'style-src': "'self'",
    'connect-src': "'self'",
    'img-src': "'self'",
    'base-uri': "'none'",
    'form-action': "'none'",
    'frame-ancestors': "'none'",
    // Nothing in the page may make markup of text.
    'require-trusted-types-for': "'script'",
    'trusted-types': "'none'",
  };
  return {
    'Content-Security-Policy': Object.entries(policy)
      .map((entry) => entry.join(' '))
      .join('; '),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
  };
}

/** The sources run directly, or as JavaScript in dist/. */
function findFolder(places: readonly string[], file: string): URL {
  const found = places
    .map((place) => new URL(place, import.meta.url))
    .find((url) => existsSync(new URL(file, url)));
  if (found !== undefined) return found;
  throw new ClusterError('SETUP', `the live page is missing or outdated (${file})`, {
    fix: 'start through `npx mnist-dist`, which builds what is missing',
  });
}
