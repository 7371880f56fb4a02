import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { foundLicences } from '../.ci/licences.mjs';
import { copiedPackages, shippedPackages, shippedPlaces } from './fixtures/shipped-packages.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/**
 * Licences of packages that a program with the MIT licence may ship. All but MPL-2.0 are
 * permissive; MPL-2.0 obliges only those who change the package's own files.
 */
const allowed = [
  '(BSD-3-Clause AND Apache-2.0)',
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Bitstream-Vera',
  'ISC',
  'MIT',
  'MPL-2.0',
  'Unlicense',
];

it('mnist-dist ships only packages whose licences allow that', () => {
  const shipped = [...shippedPackages(), ...Object.values(copiedPackages())];
  expect(shipped.length).toBeGreaterThan(100);
  expect(shipped.filter(({ licence }) => !allowed.includes(licence))).toEqual([]);
});

it('each installed package declares the licence that the lock file lists', () => {
  const installed = shippedPlaces.filter((place) => existsSync(join(root, place, 'package.json')));
  expect(installed.length).toBeGreaterThan(100);
  const licences = new Map(shippedPackages().map(({ name, licence }) => [name, licence]));
  for (const place of installed) {
    const { name, license } = JSON.parse(readFileSync(join(root, place, 'package.json'), 'utf8'));
    if (foundLicences[name] === undefined) expect(licences.get(name), name).toBe(license);
  }
});

it('each package without a clear licence has a reason why it may be shipped', () => {
  const read = (file: string) => readFileSync(join(root, 'node_modules', file), 'utf8');
  expect(Object.keys(foundLicences)).toEqual(['dejavu-fonts-ttf', 'error']);
  expect(read('dejavu-fonts-ttf/LICENSE')).toMatch(
    /Bitstream Vera[^]*DejaVu changes are in public/,
  );
  expect(JSON.parse(read('error/package.json')).licenses).toMatchObject([{ type: 'MIT' }]);
});

it("mnist-dist ships tfjs-node-gpu's licence, because it ships parts of that package", () => {
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(files).toContain('worker/native/tfjs-node-gpu.LICENSE');
  expect(readFileSync(join(root, 'worker/native/tfjs-node-gpu.LICENSE'), 'utf8')).toMatch(
    /Apache License\s+Version 2\.0/,
  );
});

it('ships one font of its package, unchanged, with its licence', () => {
  const font = (folder: string, name: string) => readFileSync(join(root, folder, name));
  const source = 'node_modules/dejavu-fonts-ttf';
  expect(font('dist/font', 'LICENSE').equals(font(source, 'LICENSE'))).toBe(true);
  expect(font('dist/font', 'DejaVuSans.ttf').equals(font(source, 'ttf/DejaVuSans.ttf'))).toBe(true);
  expect(readdirSync(join(root, 'dist/font'))).toHaveLength(2);
});
