import { gzipSync } from 'node:zlib';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { CLOSE_FINISHED, type ErrorCode } from '../../shared/errors.ts';
import { encodeHeader, encodePointer } from '../../shared/wire/frame.ts';
import { conv2d } from '../fixtures/engine/models.ts';
import { denseModel, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { expectBoundedMemory } from './cost.ts';
import {
  answer,
  description,
  endOfWorker,
  fence,
  LARGEST_FRAME_BYTES,
  LIMIT_BYTES,
  type Lies,
  WELCOME,
  welcomed,
} from './fake-coordinator.ts';
import { tensorFrame } from './frames.ts';
import { dataset } from './target.ts';

const { configuration } = description;
const PARAMETERS = parameterCount(configuration.model);
const MEBIBYTE = 1024 ** 2;

/** Writes for as long as the worker reads. */
function endless(response: ServerResponse): void {
  const write = () => {
    while (response.write(Buffer.alloc(MEBIBYTE, 'x')));
  };
  response.on('drain', write);
  write();
}

/** Breaks the connection once the worker has received the beginning of a response. */
function breakOff(response: ServerResponse): void {
  response.write('{', () => setImmediate(() => response.destroy()));
}

/** Sends a byte every 20 ms. */
function trickle(response: ServerResponse): void {
  const timer = setInterval(() => response.write('x'), 20);
  response.once('close', () => clearInterval(timer));
}

/** Sends one step after another until the worker is gone, and does not read its results. */
function sendOnAndOn(socket: WebSocket): void {
  socket.pause();
  const next = (number: number): void => {
    socket.send(step({ step: number }), (error) => {
      if (error === undefined || error === null) next(number + 1);
    });
  };
  next(1);
}

const LAYERS = Array.from({ length: 16 }, () => 300);
const bomb = gzipSync(Buffer.alloc(100 * MEBIBYTE));
const runs: [string, ErrorCode, (response: ServerResponse) => void][] = [
  ['invalid JSON', 'PROTOCOL', answer('{')],
  ['nothing', 'PROTOCOL', answer('')],
  ['a list', 'PROTOCOL', answer([])],
  ['30,000 nested lists', 'PROTOCOL', answer('['.repeat(30_000) + ']'.repeat(30_000))],
  ['a megabyte', 'LIMIT', answer({ ...description, more: 'x'.repeat(MEBIBYTE) })],
  ['an endless response', 'LIMIT', endless],
  [
    '100 MiB of zeros in 100 KiB',
    'LIMIT',
    (response) => void response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb),
  ],
  ['a different version', 'VERSION', answer({ ...description, arithmetic: 99 })],
  [
    'a redirect',
    'PROTOCOL',
    (response) => void response.writeHead(302, { Location: '/run' }).end(),
  ],
  ['an error', 'PROTOCOL', (response) => void response.writeHead(500).end()],
  ['401', 'UNAUTHORIZED', (response) => void response.writeHead(401).end()],
  ['a broken connection', 'UNREACHABLE', (response) => void response.destroy()],
  ['half a response', 'UNREACHABLE', breakOff],
  ['a terabyte of frames', 'LIMIT', answer({ ...description, frame_bytes: 1e12 })],
  ['a terabyte of data', 'LIMIT', answer({ ...description, data_bytes: 1e12 })],
  ...['\ud800x', '../../x', '', 'a\r\nb', 'x'.repeat(65)].map(
    (run): [string, ErrorCode, (response: ServerResponse) => void] => [
      `the run ${JSON.stringify(run)}`,
      'PROTOCOL',
      answer({ ...description, run }),
    ],
  ),
  ['a negative size', 'PROTOCOL', answer({ ...description, frame_bytes: -1 })],
  ['a model that is larger than its frames', 'LIMIT', answer(withModel([60_000, 1000]))],
  [
    'batches that need more memory than the worker may use',
    'LIMIT',
    answer(
      withConfiguration({
        batchSize: 65_536,
        virtualShards: 1,
        model: denseModel([1, 4], LAYERS, 0, 10),
      }),
    ),
  ],
  [
    'more layers than are allowed',
    'PROTOCOL',
    answer(withModel(Array.from({ length: 1000 }, () => 1))),
  ],
  [
    'layers that do not fit each other',
    'PROTOCOL',
    answer(withConfiguration({ model: { rows: 1, columns: 4, layers: [], classes: 10 } })),
  ],
  [
    'a shard with too many values',
    'PROTOCOL',
    answer(
      withConfiguration({
        batchSize: 65_536,
        virtualShards: 1,
        model: {
          rows: 1,
          columns: 4,
          layers: [conv2d(4096, [1, 1]), { kind: 'flatten' }],
          classes: 10,
        },
      }),
    ),
  ],
  [
    'an augmentation beyond the limits',
    'PROTOCOL',
    answer(withConfiguration({ augment: { shift: 1e9, rotate: 0, zoom: 0 } })),
  ],
  [
    'an augmentation with a part that is not a number',
    'PROTOCOL',
    answer(withConfiguration({ augment: { shift: 1, rotate: '10', zoom: null } })),
  ],
  [
    'more samples than its dataset has',
    'DATA',
    answer(withConfiguration({ trainSamples: 2 ** 31 })),
  ],
  [
    'more test samples than its dataset has',
    'DATA',
    answer(withConfiguration({ testSamples: 2 ** 31 })),
  ],
  ['a different image size than its dataset has', 'DATA', answer(withModel([8], 784))],
  ['fewer names than classes', 'DATA', answer({ ...description, class_names: ['0'] })],
];

function withConfiguration(changes: object): object {
  return { ...description, configuration: { ...configuration, ...changes } };
}

function withModel(hidden: readonly number[], inputs = 4): object {
  return withConfiguration({ model: denseModel([1, inputs], hidden, 0, 10) });
}

const datasets: [string, ErrorCode, (response: ServerResponse) => void][] = [
  [
    'has different bytes',
    'DATA',
    (response) => void response.end(Buffer.alloc(description.data_bytes)),
  ],
  ['is longer than announced', 'DATA', endless],
  ['does not exist', 'PROTOCOL', (response) => void response.writeHead(404).end()],
];

const next = { kind: 'next', run: 's', term: 1 };
const ones = (count: number) => new Float32Array(count).fill(1);
const step = (changes: object, floats = PARAMETERS) =>
  tensorFrame({ kind: 'step', ...fence, assignment: [[0, 1]], ...changes }, ones(floats));
const evaluate = (assignment: number[][]) =>
  tensorFrame({ kind: 'evaluate', ...fence, set: 'test', assignment }, ones(PARAMETERS));
const words: [string, ErrorCode, Buffer[]][] = [
  ['bytes that are not a frame', 'PROTOCOL', [Buffer.from('hello')]],
  ['a header of 4 GiB', 'PROTOCOL', [Buffer.from([255, 255, 255, 255, 0, 0, 0, 0])]],
  ['a worker message', 'PROTOCOL', [encodeHeader({ kind: 'preparing', limitMilliseconds: 1 })]],
  ['a second welcome', 'PROTOCOL', [WELCOME]],
  ['that its own run is the next one', 'PROTOCOL', [encodeHeader({ ...next, run: 'r' })]],
  ['a next run that /run does not describe', 'UNREACHABLE', [encodeHeader(next)]],
  [
    'a step without weights',
    'PROTOCOL',
    [encodeHeader({ kind: 'step', ...fence, assignment: [] })],
  ],
  ['a step for a different run', 'PROTOCOL', [step({ run: 'q' })]],
  ['a step for a different term', 'PROTOCOL', [step({ term: 2 })]],
  ['weights that are one float too short', 'PROTOCOL', [step({}, PARAMETERS - 1)]],
  ['weights that are one float too long', 'PROTOCOL', [step({}, PARAMETERS + 1)]],
  [
    'weights with a wrong checksum',
    'PROTOCOL',
    [tensorFrame({ kind: 'step', ...fence, assignment: [[0, 1]] }, ones(PARAMETERS), 1n)],
  ],
  [
    'weights in memory that is not shared',
    'PROTOCOL',
    [encodePointer({ kind: 'step', ...fence, buffer: 0, assignment: [[0, 1]] }, 0n)],
  ],
  ['a node outside the tree', 'PROTOCOL', [step({ assignment: [[0, 1000]] })]],
  ['node 0', 'PROTOCOL', [step({ assignment: [[0, 0]] })]],
  ['a step after the last one', 'PROTOCOL', [step({ step: 1_000_001 })]],
  ['step 0', 'PROTOCOL', [step({ step: 0 })]],
  ['chunks outside the test set', 'PROTOCOL', [evaluate([[0, 1000, 1]])]],
  [
    'sixteen million chunks',
    'PROTOCOL',
    [evaluate(Array.from({ length: 256 }, () => [0, 0, 65_536]))],
  ],
  [
    'a lease for a step that was never sent',
    'PROTOCOL',
    [encodeHeader({ kind: 'lease', ...fence, task: 'step', parts: [1] })],
  ],
  [
    'a lease for a node outside the tree',
    'PROTOCOL',
    [step({}), encodeHeader({ kind: 'lease', ...fence, task: 'step', parts: [1000] })],
  ],
];

async function expectEnd(code: ErrorCode, lies: Lies): Promise<void> {
  await expectBoundedMemory(async () => {
    const error = await endOfWorker(lies);
    expect(error?.code, error?.message).toBe(code);
  });
}

describe('a worker ends', () => {
  it.each(runs)('when /run answers with %s', async (_, code, run) => {
    await expectEnd(code, { run });
  });

  it.each(datasets)('when the dataset %s', async (_, code, data) => {
    await expectEnd(code, { data });
  });

  it.each(words)('when it is sent %s', async (_, code, frames) => {
    await expectEnd(code, { ready: (socket) => frames.forEach((frame) => socket.send(frame)) });
  });

  it.each<[string, ErrorCode, (socket: WebSocket) => void]>([
    ['a step', 'PROTOCOL', (socket) => socket.send(step({}))],
    ['a text', 'PROTOCOL', (socket) => socket.send('welcome')],
  ])('when it is sent %s instead of its welcome', async (_, code, greet) => {
    await expectEnd(code, { greet });
  });
});

/** Describes the run r when it is asked first, and s from then on. */
function describeNext(): (response: ServerResponse) => void {
  let times = 0;
  return (response) => answer({ ...description, run: times++ === 0 ? 'r' : 's' })(response);
}

describe('a worker that follows its coordinator into the next run ends', () => {
  it.each<[string, Buffer]>([
    ['the welcome of the run before', WELCOME],
    ['a welcome of another term', encodeHeader({ ...welcomed, run: 's', term: 2 })],
    ['a step of the run before', step({})],
    ['a step before its welcome', step({ run: 's' })],
    ['the same run once more', encodeHeader(next)],
  ])('when it is sent %s', async (_, lie) => {
    let hellos = 0;
    await expectEnd('PROTOCOL', {
      run: describeNext(),
      greet: (socket) => socket.send(hellos++ === 0 ? WELCOME : lie),
      ready: (socket) => socket.send(encodeHeader(next)),
    });
  });

  it('only when all runs have finished', async () => {
    let [hellos, readies] = [0, 0];
    const greet = (socket: WebSocket) =>
      socket.send(hellos++ === 0 ? WELCOME : encodeHeader({ ...welcomed, run: 's' }));
    const ready = (socket: WebSocket) =>
      readies++ === 0 ? socket.send(encodeHeader(next)) : socket.close(CLOSE_FINISHED);
    expect(await endOfWorker({ run: describeNext(), greet, ready })).toBeUndefined();
    expect([hellos, readies]).toEqual([2, 2]);
  });

  it('dials again if the next run has larger frames than its connection', async () => {
    let dials = 0;
    const frames = () => (dials++ === 1 ? LARGEST_FRAME_BYTES + 64 : LARGEST_FRAME_BYTES);
    const error = await endOfWorker({
      run: (response) =>
        answer({ ...description, run: dials === 0 ? 'r' : 's', frame_bytes: frames() })(response),
      greet: (socket) => socket.send(dials < 3 ? WELCOME : encodeHeader({ ...welcomed, run: 's' })),
      ready: (socket) =>
        dials < 3 ? socket.send(encodeHeader(next)) : socket.close(CLOSE_FINISHED),
    });
    expect(error).toBeUndefined();
    expect(dials).toBe(3);
  });
});

describe('a worker ends', () => {
  it('when steps keep arriving and its results are not read', async () => {
    await expectEnd('LIMIT', { ready: sendOnAndOn });
  });
});

describe('a worker waits no longer than its limit', () => {
  it('when its request is never answered', async () => {
    let dials = 0;
    const error = await endOfWorker({ run: () => (dials += 1) }, { request: 500, wait: 500 });
    expect(error?.code).toBe('UNREACHABLE');
    expect(dials).toBe(1);
  });
});

describe('a worker dials again', () => {
  it('when the dataset never ends', async () => {
    let dials = 0;
    const run = (response: ServerResponse) => {
      dials += 1;
      answer(description)(response);
    };
    const data = (response: ServerResponse) =>
      dials === 1 ? trickle(response) : response.end(dataset.bytes);
    const lies = { run, data, ready: (socket: WebSocket) => socket.close(CLOSE_FINISHED) };
    // This time also covers the honest download.
    expect(await endOfWorker(lies, { data: 5_000 })).toBeUndefined();
    expect(dials).toBe(2);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['is empty', (response) => void response.end()],
    ['breaks off at the start', (response) => void response.destroy()],
    [
      'breaks off after its headers',
      (response) => response.write('', () => setImmediate(() => response.destroy())),
    ],
    ['arrives one byte per connection', (response) => void response.end('x')],
  ])('when the dataset %s', async (_, lie) => {
    let dials = 0;
    const run = (response: ServerResponse) => {
      dials += 1;
      answer(description)(response);
    };
    const data = (response: ServerResponse) =>
      dials === 1 ? lie(response) : response.end(dataset.bytes);
    expect(
      await endOfWorker({ run, data, ready: (socket) => socket.close(CLOSE_FINISHED) }),
    ).toBeUndefined();
    expect(dials).toBe(2);
  });

  it.each<[string, (socket: WebSocket) => void]>([
    [
      'is sent more than the largest frame',
      (socket) => socket.send(Buffer.alloc(LARGEST_FRAME_BYTES + 8192)),
    ],
    [
      'is sent much more than the largest frame',
      (socket) => socket.send(Buffer.alloc(16 * LIMIT_BYTES)),
    ],
    [
      'is sent two fragments',
      (socket) => [false, true].forEach((fin) => socket.send(Buffer.alloc(9), { fin })),
    ],
    ['is sent a close code that does not exist', (socket) => socket.close(4999)],
    ['is disconnected', (socket) => socket.terminate()],
  ])('when it %s', async (_, lie) => {
    await expectBoundedMemory(async () => {
      let times = 0;
      const ready = (socket: WebSocket) =>
        times++ === 0 ? lie(socket) : socket.close(CLOSE_FINISHED);
      expect(await endOfWorker({ ready })).toBeUndefined();
      expect(times).toBe(2);
    });
  });
});
