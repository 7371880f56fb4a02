import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { adamRate } from '../shared/kernels/adam-rate.ts';
import { xxh64 } from '../shared/kernels/reference-kernels.ts';
import {
  encodeBefore,
  encodeHeader,
  MAX_FRAME_HEAD_BYTES,
  roomBytes,
} from '../shared/wire/frame.ts';
import { coordinatorMessage, parseMessage, workerMessage } from '../shared/wire/messages.ts';
import { referencePages } from './fixtures/reference-pages.ts';
import { epochOrder, initialWeights, maskRow } from '../shared/arithmetic/random.ts';

function read(name: string): string {
  return readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');
}

function between(text: string, mark: string): string {
  return (text.split(`<!-- ${mark} -->`)[1]?.split(`<!-- /${mark} -->`)[0] ?? '').trim();
}

describe('docs/reference', () => {
  it.each(Object.entries(referencePages))(
    'has the %s that the sources declare (npm test -- test/documents.test.ts -u writes the page)',
    async (name, page) => {
      await expect(page()).toMatchFileSnapshot(`../docs/reference/${name}.md`);
    },
  );
});

describe('SECURITY', () => {
  const text = read('SECURITY.md');
  const tests = (line: string) => [
    ...line.matchAll(/\[test\]\((test\/\S+\.test\.ts) "([^"]+)"\)/g),
  ];

  it('proves each of its sentences by tests that exist', () => {
    const sentences = between(
      text
        .replace('## What holds', '<!-- holds -->')
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
  it('names files that exist and are short', () => {
    const text = read('ARCHITECTURE.md');
    const files = [...text.matchAll(/\]\(([a-z][\w./-]+\.ts)\)/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(8);
    for (const file of files) expect(read(file).split('\n').length, file).toBeLessThan(500);
  });

  it('gives numbers that the code computes', () => {
    const text = read('ARCHITECTURE.md');
    const mask = new Float32Array(16);
    maskRow(mask, { seed: 1, step: 1, position: 0, layer: 0 }, 0.2);
    const dropped = [...mask.keys()].filter((unit) => mask[unit] === 0);
    expect(text).toContain(`begins ${epochOrder(1, 1, 60_000).slice(0, 4).join(' ')};`);
    expect(text).toContain(
      `is ${initialWeights(1, { inputs: 784, hidden: [128], classes: 10 })[0]};`,
    );
    expect(text).toContain(
      `drops units ${dropped.slice(0, -1).join(', ')} and ${dropped.at(-1)} of`,
    );
    expect(new Set(mask)).toEqual(new Set([0, 1.25]));
    expect(text).toContain(`${adamRate(0.001, 0.9, 0.999, 1)} at step 1`);
    expect(text).toContain(`${adamRate(0.001, 0.9, 0.999, 1000)} at step 1000`);
  });

  it('shows frames as they are sent, byte by byte', () => {
    const shown = read('ARCHITECTURE.md').replaceAll(/\s|\(to 64\)/g, '');
    const beat = parseMessage(workerMessage, { kind: 'heartbeat' });
    expect(shown).toContain(encodeHeader(beat).toString('hex'));
    const message = { kind: 'step', run: 'r', term: 1, step: 1, assignment: [[0, 1]] };
    expect(shown).toContain(JSON.stringify(message));
    const body = new Uint8Array(Float32Array.of(1, -2).buffer);
    const room = new Uint8Array(roomBytes(body.length));
    room.set(body, MAX_FRAME_HEAD_BYTES);
    new DataView(room.buffer).setBigUint64(MAX_FRAME_HEAD_BYTES + body.length, xxh64(body), true);
    const frame = encodeBefore(room, parseMessage(coordinatorMessage, message)).bytes;
    expect(frame.length).toBe(80);
    expect(shown).toContain(frame.toString('hex'));
  });
});

describe('CONTRIBUTING', () => {
  it('gives a reason for every dependency', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json'));
    const text = read('CONTRIBUTING.md');
    for (const name of Object.keys({ ...dependencies, ...devDependencies }))
      expect(text).toContain(name);
  });
});
