import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exitCodesMarkdown, optionsMarkdown } from '../cli/help.ts';

function read(name: string): string {
  return readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
}

function between(text: string, mark: string): string {
  return (text.split(`<!-- ${mark} -->`)[1]?.split(`<!-- /${mark} -->`)[0] ?? '').trim();
}

describe('the README', () => {
  it('lists the options and exit codes that the program has', () => {
    expect(between(read('README.md'), 'options')).toBe(optionsMarkdown().trim());
    expect(between(read('README.md'), 'exit codes')).toBe(exitCodesMarkdown().trim());
  });
});

describe('ARCHITECTURE', () => {
  it('names files that exist and are short', () => {
    const text = read('ARCHITECTURE.md');
    const files = [...text.matchAll(/\]\(([a-z][\w./-]+\.ts)\)/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(8);
    for (const file of files) expect(read(file).split('\n').length, file).toBeLessThan(400);
  });
});

describe('CONTRIBUTING', () => {
  it('gives a reason for every dependency', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json'));
    const text = read('CONTRIBUTING.md');
    for (const name of Object.keys({ ...dependencies, ...devDependencies })) expect(text).toContain(name);
  });
});
