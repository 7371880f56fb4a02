import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClusterError } from '../../shared/errors.ts';

/** One file of a page. */
export interface PageFile {
  /** Content-Type. */
  readonly type: string;
  readonly body: Buffer;
}

export interface PageFiles {
  /** The HTML of the live page. */
  readonly livePage: PageFile;
  /** The file for a request's path; undefined if the path is unknown. Never reads from the disk. */
  get(path: string): PageFile | undefined;
  /** Security headers for every response. */
  readonly headers: Readonly<Record<string, string>>;
}

const JAVASCRIPT = 'text/javascript; charset=utf-8';
/** Folders with modules for browsers, and their URL paths. */
const browserFolders = [
  ['dashboards/page', '/'],
  ['dashboards/page/board', '/board/'],
  ['dashboards/page/plot', '/plot/'],
  ['shared', '/shared/'],
  ['shared/arithmetic', '/shared/arithmetic/'],
  ['shared/digit', '/shared/digit/'],
  ['shared/limits', '/shared/limits/'],
  ['shared/text', '/shared/text/'],
] as const;
const CSS = 'text/css; charset=utf-8';

/** The page whose HTML is at the path `/`. */
type Page = 'live' | 'board';

/**
 * Reads all files of a page into memory. The board's page has those of the live page as well.
 * Throws a SETUP error if the page has not been built.
 */
export function readPageFiles(page: Page = 'live'): PageFiles {
  const sources = fileURLToPath(
    findFolder(['../page/', '../../../dashboards/page/'], 'index.html'),
  );
  const built = fileURLToPath(
    findFolder(['../../browser/', '../../dist/browser/'], 'dashboards/page/main.js'),
  );
  const charts = createRequire(import.meta.url).resolve('uplot/dist/uPlot.esm.js');
  const htmlOf = (folder: string): PageFile => ({
    type: 'text/html; charset=utf-8',
    body: readFileSync(join(sources, folder, 'index.html')),
  });
  const livePage = htmlOf('');
  const index = page === 'live' ? livePage : htmlOf('board');
  const files = new Map<string, PageFile>([
    ['/', index],
    ['/style.css', { type: CSS, body: readFileSync(join(sources, 'style.css')) }],
    ['/favicon.svg', { type: 'image/svg+xml', body: readFileSync(join(sources, 'favicon.svg')) }],
    ['/uplot.js', { type: JAVASCRIPT, body: readFileSync(charts) }],
    ['/uplot.css', { type: CSS, body: readFileSync(join(charts, '../uPlot.min.css')) }],
  ]);
  if (page === 'board')
    files.set('/board.css', { type: CSS, body: readFileSync(join(sources, 'board/board.css')) });
  for (const [folder, place] of browserFolders) {
    if (page === 'live' && place === '/board/') continue;
    for (const name of readdirSync(join(built, folder)).filter((name) => name.endsWith('.js')))
      files.set(`${place}${name}`, {
        type: JAVASCRIPT,
        body: readFileSync(join(built, folder, name)),
      });
  }
  // Both pages have the same import map, and so the same headers.
  const headers = headersFor(index.body.toString('utf8'));
  return { livePage, get: (path) => files.get(path), headers };
}

/** The page may load files only from this listener, and no other page may embed it in a frame. */
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
    // No script may turn text into markup.
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

/** Finds a folder relative to the running code, which is either the sources or dist/. */
function findFolder(places: readonly string[], file: string): URL {
  const found = places
    .map((place) => new URL(place, import.meta.url))
    .find((url) => existsSync(new URL(file, url)));
  if (found !== undefined) return found;
  throw new ClusterError('SETUP', `the live page is missing or outdated (${file})`, {
    fix: 'start with `npx mnist-dist`, which builds what is missing',
  });
}
