import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { commandNames } from '../cli/command-table.ts';
import {
  type CommandName,
  keysOf,
  namesOf,
  optionKeys,
  variableOf,
} from '../cli/options/options.ts';
import { augmentBounds } from '../shared/arithmetic/augment.ts';
import { cosineFall } from '../shared/arithmetic/functions.ts';
import { learningRateOf } from '../shared/arithmetic/learning-rate.ts';
import { adamRate } from '../shared/kernels/adam-rate.ts';
import { drawMotion, inverseMap, moved, sine } from '../shared/kernels/reference-augment.ts';
import { xxh64 } from '../shared/kernels/reference-kernels.ts';
import {
  encodeBefore,
  encodeHeader,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
} from '../shared/wire/frame.ts';
import {
  coordinatorMessage,
  parseMessage,
  PROTOCOL,
  workerMessage,
} from '../shared/wire/messages.ts';
import { ARITHMETIC } from '../shared/arithmetic/version.ts';
import { generatedTypes } from './fixtures/library/library-reference.ts';
import { referencePages } from './fixtures/reference-pages.ts';
import { epochOrder, initialWeights, maskRow } from '../shared/arithmetic/random.ts';
import { denseModel } from '../shared/arithmetic/model-shape.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const documents = execFileSync('git', ['ls-files', '--cached', '*.md'], { cwd: root })
  .toString()
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(root, file)));
const { version, scripts, dependencies, devDependencies } = z
  .object({
    version: z.string(),
    scripts: z.record(z.string(), z.string()),
    dependencies: z.record(z.string(), z.string()),
    devDependencies: z.record(z.string(), z.string()),
  })
  .parse(JSON.parse(read('package.json')));
const variables = optionKeys.flatMap(namesOf).map(variableOf);
/** Environment variables that do not set an option, including one that Kubernetes sets. */
const otherVariables = ['CACHE', 'TOKEN', 'HOSTILE_FRAMES', 'METRICS_SERVICE_HOST'].map(
  (name) => `MNIST_DIST_${name}`,
);

function isCommandName(text: string): text is CommandName {
  return commandNames.some((name) => name === text);
}

/** The anchors that forges generate for a page's headings. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(/\s/g, '-'),
  );
}

function read(name: string): string {
  return readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
}

function between(text: string, mark: string): string {
  return (text.split(`<!-- ${mark} -->`)[1]?.split(`<!-- /${mark} -->`)[0] ?? '').trim();
}

describe.each(documents)('%s', (document) => {
  const text = read(document);
  const prose = text.replaceAll(/^```[^]*?^```$/gm, '');

  it('links only to files and headings that exist', () => {
    for (const [, target = ''] of prose.matchAll(/\]\(([^)\s"]+)(?:\s+"[^"]*")?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? document : join(dirname(document), path);
      expect(existsSync(join(root, file)), `${document} links to ${target}`).toBe(true);
      if (anchor !== undefined) expect(headings(read(file)), target).toContain(anchor);
    }
  });

  it('mentions only commands, options, variables and scripts that exist', () => {
    for (const [line, command = ''] of text.matchAll(
      /\bmnist-dist(?:\.mjs)? ([a-z]+)\b[^\n`|]*/g,
    )) {
      if (!isCommandName(command)) continue;
      const known = [...keysOf(command).flatMap(namesOf), 'help'];
      for (const [, flag = ''] of line.matchAll(/ --(?:no-)?([a-z][a-z0-9-]+)/g))
        expect(known, line).toContain(flag);
    }
    for (const [, name = ''] of text.matchAll(/\bMNIST_DIST_([A-Z][A-Z_]*[A-Z])\b/g))
      expect([...variables, ...otherVariables], document).toContain(`MNIST_DIST_${name}`);
    for (const [, script = ''] of text.matchAll(/\bnpm run ([a-z][a-z:-]*)/g))
      expect(Object.keys(scripts), document).toContain(script);
  });

  it('mentions only files that exist', () => {
    for (const [, file = ''] of prose.matchAll(/`((?:bin|cli|docs|deploy|test)\/[\w./@-]+\.\w+)`/g))
      expect(existsSync(join(root, file)), file).toBe(true);
  });
});

describe('docs/reference', () => {
  it.each(Object.entries(referencePages))(
    'lists the %s that the sources declare (npm run test:unit -- test/documents.test.ts -u)',
    async (name, page) => {
      await expect(page()).toMatchFileSnapshot(`../docs/reference/${name}.md`);
    },
  );

  it('follows the types of the library, which follow the option table', async () => {
    await expect(generatedTypes()).toMatchFileSnapshot('../cli/library/generated-types.ts');
  });
});

describe('SECURITY', () => {
  const text = read('SECURITY.md');
  const tests = (line: string) => [
    ...line.matchAll(/\[test\]\((test\/\S+\.test\.ts)\s+"([^"]+)"\)/g),
  ];

  it('backs each of its statements with tests that exist', () => {
    const sentences = between(
      text
        .replace('## Protections', '<!-- holds -->')
        .replace('## What is not', '<!-- /holds -->## What is not'),
      'holds',
    )
      .replaceAll('\n  ', ' ')
      .split('\n')
      .filter((line) => line.startsWith('- '));
    expect(sentences.length).toBeGreaterThan(20);
    for (const sentence of sentences) expect(tests(sentence), sentence).not.toEqual([]);
    for (const [, file = '', title = ''] of tests(text))
      expect(read(file), `${file}: ${title}`).toContain(title);
  });
});

describe('ARCHITECTURE', () => {
  it('has at most 120 lines', () => {
    expect(read('ARCHITECTURE.md').split('\n').length).toBeLessThanOrEqual(121);
  });
});

describe('docs/spec', () => {
  it('quotes the numbers that the code computes', () => {
    const text = read('docs/spec/arithmetic.md').replaceAll('\n', ' ');
    const mask = new Float32Array(16);
    maskRow(mask, { seed: 1, step: 1, position: 0, layer: 0 }, 0.2);
    const dropped = [...mask.keys()].filter((unit) => mask[unit] === 0);
    expect(text).toContain(`begins ${epochOrder(1, 1, 60_000).slice(0, 4).join(' ')};`);
    expect(text).toContain(`is ${initialWeights(1, denseModel([28, 28], [128], 0, 10))[0]};`);
    expect(text).toContain(
      `drops units ${dropped.slice(0, -1).join(', ')} and ${dropped.at(-1)} of`,
    );
    expect(new Set(mask)).toEqual(new Set([0, 1.25]));
    expect(text).toContain(`${adamRate(0.001, 0.9, 0.999, 1)} at step 1`);
    expect(text).toContain(`${adamRate(0.001, 0.9, 0.999, 1000)} at step 1000`);
    const base = { learningRate: 0.001, warmup: 0 };
    const exponential = { kind: 'exponential', decay: 0.7, every: 100 } as const;
    const cosine = { kind: 'cosine', final: 0.1, horizon: 100 } as const;
    expect(text).toContain(`C(1, 5) is ${cosineFall(1, 5)};`);
    expect(text).toContain(`${learningRateOf({ ...base, schedule: exponential }, 51)} at step 51`);
    const warm = { ...base, warmup: 10, schedule: cosine };
    expect(text).toContain(`${learningRateOf(warm, 40)} at step 40`);
  });

  it('augments an image as it says', () => {
    const text = read('docs/spec/arithmetic.md').replaceAll('\n', ' ');
    const bounds = augmentBounds({ shift: 2, rotate: 10, zoom: 0.1 });
    const key = { seed: 1, epoch: 1, sample: 10 };
    const motion = drawMotion(key, bounds);
    const image = {
      rows: 3,
      columns: 4,
      pixels: Uint8Array.from({ length: 12 }, (_, i) => 20 * i),
    };
    const { a, b, x0, y0 } = inverseMap(image, motion);
    const { dx, dy, angle, scale } = motion;
    for (const sentence of [
      `S = ${bounds.shift}, R = ${bounds.turn} and Z = ${bounds.zoom};`,
      `dx = ${dx}, dy = ${dy}, t = ${angle} and k = ${scale};`,
      `sin(t) = ${sine(angle)} and cos(t) = ${sine(angle + 2 ** 14)};`,
      `a = ${a} and b = ${b}.`,
      `3 rows and 4 columns, x0 = ${x0} and y0 = ${y0}; the pixels ${[...image.pixels].join(' ')} `,
      `become ${[...moved(image, motion)].join(' ')}.`,
    ])
      expect(text).toContain(sentence);
  });

  it('lists the current version, protocol and arithmetic', () => {
    const versions = between(
      read('docs/spec/compatibility.md')
        .replace('| mnist-dist | protocol', '<!-- versions -->')
        .replace('If they differ', '<!-- /versions -->'),
      'versions',
    );
    const [minor = ''] = /^\d+\.\d+/.exec(version) ?? [];
    const rows = versions.split('\n');
    expect(rows.at(-1)).toMatch(new RegExp(`^\\| \\S+ \\| ${PROTOCOL} \\| ${ARITHMETIC} \\|$`));
    expect(rows.map((row) => row.split(' ')[1])).toContain(minor);
  });

  it('shows frames byte for byte as they are sent', () => {
    const shown = read('docs/spec/wire.md').replaceAll(/\s|\(to 64\)/g, '');
    const beat = parseMessage(workerMessage, { kind: 'heartbeat' });
    expect(shown).toContain(encodeHeader(beat).toString('hex'));
    const message = { kind: 'step', run: 'r', term: 1, step: 1, assignment: [[0, 1]] };
    expect(shown).toContain(JSON.stringify(message));
    const body = new Uint8Array(Float32Array.of(1, -2).buffer);
    const buffer = new Uint8Array(frameCapacity(body.length));
    buffer.set(body, MAX_FRAME_HEAD_BYTES);
    new DataView(buffer.buffer).setBigUint64(MAX_FRAME_HEAD_BYTES + body.length, xxh64(body), true);
    const frame = encodeBefore(buffer, parseMessage(coordinatorMessage, message)).bytes;
    expect(frame.length).toBe(80);
    expect(shown).toContain(frame.toString('hex'));
  });
});

describe('CONTRIBUTING', () => {
  it('names every dependency', () => {
    const text = read('CONTRIBUTING.md');
    for (const name of Object.keys({ ...dependencies, ...devDependencies }))
      expect(text).toContain(name);
  });
});
