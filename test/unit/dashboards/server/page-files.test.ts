import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPageFiles, type PageFiles } from '../../../../dashboards/server/page-files.ts';

const page = readPageFiles();
const board = readPageFiles('board');
const sources = join(import.meta.dirname, '../../../../dashboards/page');
const textOf = (files: PageFiles, path: string) => files.get(path)?.body.toString('utf8') ?? '';
const text = (path: string) => textOf(page, path);

/** Expects a page to have a module, every module that it imports, and what those import. */
function expectImports(files: PageFiles, path: string, followed = new Set<string>()): void {
  if (followed.has(path)) return;
  followed.add(path);
  expect(files.get(path), path).toBeDefined();
  const imports = /^(?:import|\}|export)\b.*'(\.[^']+)';$/gm;
  for (const [, name = ''] of textOf(files, path).matchAll(imports))
    expectImports(files, new URL(name, `http://page${path}`).pathname, followed);
}

/** Expects a page to have all files that its HTML names. */
function expectRequested(files: PageFiles): void {
  const names = /(?:src|href|"uplot":) ?=?"([^"#]+)"/g;
  const requested = [...textOf(files, '/').matchAll(names)].map(([, path]) => path);
  expect(requested.length).toBeGreaterThanOrEqual(5);
  for (const path of requested) expect(files.get(path ?? ''), path).toBeDefined();
}

describe("the page's files", () => {
  test('form a fixed list, which does not contain any other path', () => {
    expect(page.get('/')?.type).toBe('text/html; charset=utf-8');
    const paths = [
      '',
      '/index.html',
      '/../package.json',
      '/main.ts',
      '/page/main.js',
      '/%2e%2e/run.json',
      '/constructor',
    ];
    for (const path of paths) expect(page.get(path), path).toBeUndefined();
  });

  test('contain everything that the page requests', () => {
    expectRequested(page);
    for (const name of readdirSync(sources).filter((name) => name.endsWith('.ts'))) {
      const script = text(`/${name.replace(/ts$/, 'js')}`);
      expect(script, name).not.toBe('');
      expectImports(page, `/${name.replace(/ts$/, 'js')}`);
    }
  });

  test("contain the board's page only for the board, which has the live page as well", () => {
    expect([page.get('/board/main.js'), page.get('/board.css')]).toEqual([undefined, undefined]);
    expectRequested(board);
    for (const path of ['/board/main.js', '/main.js']) expectImports(board, path);
    expect(board.livePage.body.equals(page.get('/')?.body ?? Buffer.alloc(0))).toBe(true);
    // The live page's import map is allowed as well.
    expect(board.headers).toEqual(page.headers);
  });

  test('have a policy that allows only themselves, and the import map by its digest', () => {
    const inline = [...text('/').matchAll(/<script(?! type="module")[^>]*>([^]*?)<\/script>/g)];
    expect(inline).toHaveLength(1);
    const digest = createHash('sha256')
      .update(inline[0]?.[1] ?? '')
      .digest('base64');
    const policy = page.headers['Content-Security-Policy'] ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`script-src 'self' 'sha256-${digest}';`);
    expect(policy).not.toMatch(/unsafe|\*|http/);
    for (const name of ['frame-ancestors', 'base-uri', 'form-action'])
      expect(policy).toContain(`${name} 'none'`);
    expect(page.headers['X-Content-Type-Options']).toBe('nosniff');
  });

  test('never turn text into markup, and have no inline styles or handlers', () => {
    const banned = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(/;
    const names = readdirSync(sources, { recursive: true, encoding: 'utf8' });
    for (const name of names.filter((name) => /\.\w+$/.test(name))) {
      const source = readFileSync(join(sources, name), 'utf8');
      expect(banned.test(source), name).toBe(false);
    }
    for (const files of [page, board]) expect(textOf(files, '/')).not.toMatch(/ style=| on[a-z]+=/);
  });
});
