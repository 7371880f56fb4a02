import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPageFiles } from '../../../../dashboards/server/page-files.ts';

const page = readPageFiles();
const sources = join(import.meta.dirname, '../../../../dashboards/page');
const text = (path: string) => page.get(path)?.body.toString('utf8') ?? '';

const followed = new Set<string>();

/** Expects the page to have every module that this one imports, and what those import. */
function expectImports(path: string): void {
  if (followed.has(path)) return;
  followed.add(path);
  expect(page.get(path), path).toBeDefined();
  for (const [, name = ''] of text(path).matchAll(/^(?:import|\}|export)\b.*'(\.[^']+)';$/gm))
    expectImports(new URL(name, `http://page${path}`).pathname);
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
    const requested = [...text('/').matchAll(/(?:src|href|"uplot":) ?=?"([^"#]+)"/g)].map(
      ([, path]) => path,
    );
    expect(requested.length).toBeGreaterThanOrEqual(5);
    for (const path of requested) expect(page.get(path ?? ''), path).toBeDefined();
    for (const name of readdirSync(sources).filter((name) => name.endsWith('.ts'))) {
      const script = text(`/${name.replace(/ts$/, 'js')}`);
      expect(script, name).not.toBe('');
      expectImports(`/${name.replace(/ts$/, 'js')}`);
    }
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
    for (const name of readdirSync(sources)) {
      const source = readFileSync(join(sources, name), 'utf8');
      expect(banned.test(source), name).toBe(false);
    }
    expect(text('/')).not.toMatch(/ style=| on[a-z]+=/);
  });
});
