import { describe, expect, it, onTestFinished } from 'vitest';
import { errorTable } from '../../shared/errors.ts';
import { encodeHeader, encodePointer } from '../../shared/wire/frame.ts';
import { MAX_GPUS, MAX_SMALL_MESSAGES } from '../../shared/limits.ts';
import { PROTOCOL } from '../../shared/wire/messages.ts';
import { SharedMemory } from '../../shared/wire/shared-memory.ts';
import { Attacker, type Work } from './attacker.ts';
import { controlFrame, engine, hello, PING, PONG, tensorFrame, webSocketFrame } from './frames.ts';
import { computationOf, expectUnharmed, startTarget, type Target } from './target.ts';

const FLOOD = 2000;
const CORRECT = { correct: 0, microseconds: 1 };

/** A gradient of ones, for this part of this step. */
function gradient(work: Work, floats: number, changes: object = {}): Buffer {
  return tensorFrame(gradientHeader(work, changes), new Float32Array(floats).fill(1));
}

function gradientHeader({ fence, part }: Work, changes: object = {}): object {
  return { kind: 'gradient', ...fence, part, ...CORRECT, ...changes };
}

const ready = ({ fingerprint }: Target) => ({ kind: 'ready', fingerprint, engine });
const devices = (...gpus: object[]) => ({ kind: 'devices', gpus });
const manyGpus = Array.from({ length: MAX_GPUS + 1 }, () => ({ index: 0 }));

describe('an authenticated worker', () => {
  const memory = { process: process.pid, descriptor: 0, secret: '0'.repeat(64) };
  it.each<[string, keyof typeof errorTable, (target: Target) => object[]]>([
    [
      'sends preparing before hello',
      'PROTOCOL',
      () => [{ kind: 'preparing', limitMilliseconds: 1 }],
    ],
    ['reports its GPUs before hello', 'PROTOCOL', () => [devices({ index: 0 })]],
    ['reports more GPUs than are allowed', 'PROTOCOL', () => [hello, devices(...manyGpus)]],
    [
      'reports a GPU with too large an index',
      'PROTOCOL',
      () => [hello, devices({ index: 2 ** 30 })],
    ],
    [
      'reports a GPU with a utilization above 1',
      'PROTOCOL',
      () => [hello, devices({ index: 0, utilization: 2 })],
    ],
    [
      'reports a GPU with an unknown field',
      'PROTOCOL',
      () => [hello, devices({ index: 0, serial: 'x' })],
    ],
    ['sends hello twice', 'PROTOCOL', () => [hello, hello]],
    ['sends ready before hello', 'PROTOCOL', (target) => [ready(target)]],
    [
      'sends preparing after ready',
      'PROTOCOL',
      (target) => [hello, ready(target), { kind: 'preparing', limitMilliseconds: 1 }],
    ],
    ['speaks a different protocol', 'VERSION', () => [{ ...hello, protocol: PROTOCOL + 1 }]],
    [
      'computes different bytes',
      'FINGERPRINT',
      () => [hello, { kind: 'ready', fingerprint: '0'.repeat(64), engine }],
    ],
    [
      'offers memory that is not shared',
      'FINGERPRINT',
      () => [hello, { kind: 'ready', fingerprint: '0'.repeat(64), engine, memory }],
    ],
    ['sends an unknown field', 'PROTOCOL', () => [{ ...hello, admin: true }]],
    [
      'has a name of a thousand characters',
      'PROTOCOL',
      () => [{ ...hello, name: 'n'.repeat(1000) }],
    ],
    [
      'announces an endless preparation',
      'PROTOCOL',
      () => [hello, { kind: 'preparing', limitMilliseconds: 2 ** 40 }],
    ],
    ['sends a coordinator message', 'PROTOCOL', () => [hello, { kind: 'welcome' }]],
    ['names the next run', 'PROTOCOL', () => [hello, { kind: 'next', run: 's', term: 1 }]],
    ['says hello for another run', 'PROTOCOL', () => [{ ...hello, run: 's' }]],
  ])('is disconnected when it %s', async (_, code, messagesOf) => {
    const target = await startTarget();
    const attacker = Attacker.upgrade(target.port);
    for (const message of messagesOf(target)) attacker.say(message);
    expect((await attacker.ended).close).toBe(errorTable[code].close);
    await expectUnharmed(target);
  });

  it('gets frames, not pointers, if it offers memory to a run without shared memory', async () => {
    const target = await startTarget(undefined, onTestFinished, { sharedMemory: false });
    const own = new SharedMemory(4 * target.floats);
    onTestFinished(() => own.close());
    const attacker = Attacker.upgrade(target.port);
    for (const message of [hello, { ...ready(target), memory: own.address }]) attacker.say(message);
    await attacker.leased();
    await expectUnharmed(target);
  });

  it('is disconnected when it sends a gradient before it is ready', async () => {
    const target = await startTarget();
    const attacker = await Attacker.join(target.port);
    const work = { fence: { run: 'r', term: 1, step: target.step() + 1 }, part: 1 };
    attacker.send(
      tensorFrame(
        { kind: 'gradient', ...work.fence, part: 1, ...CORRECT },
        new Float32Array(target.floats),
      ),
    );
    expect((await attacker.ended).close).toBe(errorTable.PROTOCOL.close);
    await expectUnharmed(target);
  });
});

it('the coordinator passes on a flood of GPU reports at most once a second', async () => {
  const target = await startTarget();
  const attacker = await Attacker.join(target.port, target.fingerprint);
  const longest = Array.from({ length: MAX_GPUS }, (_, index) => ({ index, powerWatts: 1 / 3 }));
  const started = performance.now();
  for (let i = 0; i < MAX_SMALL_MESSAGES / 2; i++) attacker.say(devices(...longest));
  // Messages on a connection are handled in order, so it is closed after the flood.
  attacker.say(hello);
  expect((await attacker.ended).close).toBe(errorTable.PROTOCOL.close);
  const seconds = (performance.now() - started) / 1000;
  expect(target.devices.length).toBeGreaterThanOrEqual(1);
  expect(target.devices.length).toBeLessThanOrEqual(1 + seconds);
  expect(target.devices[0]).toEqual({ worker: hello.name, gpus: longest });
  await expectUnharmed(target);
});

it.each<[string, Buffer]>([
  ['heartbeats', webSocketFrame(encodeHeader({ kind: 'heartbeat' }))],
  ['GPU reports', webSocketFrame(encodeHeader(devices({ index: 0 })))],
  ['pings', controlFrame(PING, Buffer.alloc(0))],
  ['pongs', controlFrame(PONG, Buffer.alloc(0))],
])('a worker that sends a flood of %s is disconnected with LIMIT', async (_, frame) => {
  const target = await startTarget();
  const attacker = await Attacker.join(target.port, target.fingerprint);
  // If all pings arrived together, ws itself would close the connection.
  await attacker.writeInPieces(
    Buffer.concat(Array.from({ length: FLOOD }, () => frame)),
    frame.length,
  );
  expect((await attacker.ended).close).toBe(errorTable.LIMIT.close);
  await expectUnharmed(target);
});

describe('a result', () => {
  it.each<[string, (work: Work) => object]>([
    ['a different run', () => ({ run: 'q' })],
    ['a later term', ({ fence }) => ({ term: fence.term + 1 })],
    ['an earlier term', ({ fence }) => ({ term: fence.term - 1 })],
    ['the previous step', ({ fence }) => ({ step: fence.step - 1 })],
    ['the next step', ({ fence }) => ({ step: fence.step + 1 })],
    ['an evaluation', () => ({ kind: 'predictions', set: 'test', correct: undefined })],
  ])('for %s is dropped', async (_, changesOf) => {
    const target = await startTarget();
    const attacker = await Attacker.join(target.port, target.fingerprint);
    const work = await attacker.leased();
    const header = Object.entries(gradientHeader(work, changesOf(work))).filter(
      ([, value]) => value !== undefined,
    );
    for (let i = 0; i < 10; i++)
      attacker.send(
        tensorFrame(Object.fromEntries(header), new Float32Array(target.floats).fill(i)),
      );
    await target.advances(5);
    expect(attacker.isGone).toBe(false);
    await expectUnharmed(target);
  });

  it.each<[string, (work: Work, floats: number) => Buffer]>([
    [
      "for another worker's lease",
      (work, floats) => gradient({ ...work, part: work.othersPart }, floats),
    ],
    ['for a part outside the tree', (work, floats) => gradient({ ...work, part: 1000 }, floats)],
    ['for part 0', (work, floats) => gradient({ ...work, part: 0 }, floats)],
    ['that is one float too short', (work, floats) => gradient(work, floats - 1)],
    ['that is one float too long', (work, floats) => gradient(work, floats + 1)],
    ['without any floats', (work) => gradient(work, 0)],
    [
      'with a wrong checksum',
      (work, floats) => tensorFrame(gradientHeader(work), new Float32Array(floats), 1n),
    ],
    [
      'that claims more correct rows than it has',
      (work, floats) => gradient(work, floats, { correct: 1000 }),
    ],
    [
      'that claims a fraction of a correct row',
      (work, floats) => gradient(work, floats, { correct: 0.5 }),
    ],
    [
      'in memory that is not shared',
      (work) => encodePointer(gradientHeader(work, { buffer: 0 }), 0n),
    ],
    ['in an unknown buffer', (work) => encodePointer(gradientHeader(work, { buffer: 4 }), 0n)],
  ])('%s disconnects its sender', async (_, frameOf) => {
    const target = await startTarget();
    const attacker = await Attacker.join(target.port, target.fingerprint);
    attacker.send(frameOf(await attacker.leased(), target.floats));
    expect((await attacker.ended).close).toBe(errorTable.PROTOCOL.close);
    await expectUnharmed(target);
  });

  it.each([NaN, Infinity, -Infinity])('with %d is recomputed by another worker', async (value) => {
    const target = await startTarget();
    for (const at of [0, target.floats - 1]) {
      const attacker = await Attacker.join(target.port, target.fingerprint);
      const work = await attacker.leased();
      const values = new Float32Array(target.floats);
      values[at] = value;
      for (let i = 0; i < 3; i++) attacker.send(tensorFrame(gradientHeader(work), values));
      await target.advances(5);
      attacker.vanish();
    }
    await expectUnharmed(target);
  });

  it('counts once, however often it arrives and in any order', async () => {
    const target = await startTarget();
    const attacker = await Attacker.join(target.port, target.fingerprint);
    const computation = await computationOf(target.configuration);
    const sent: Buffer[] = [];
    const work = await attacker.leased();
    computation.takeWeights(work.weights);
    await computation.gradients(work.fence, [work.part], (result) =>
      sent.push(Buffer.from(result.frame().bytes)),
    );
    for (let i = 0; i < 3; i++) for (const frame of sent) attacker.send(frame);
    await target.advances(5);
    for (const frame of sent.toReversed()) attacker.send(frame);
    await target.advances(5);
    expect(attacker.isGone).toBe(false);
    await expectUnharmed(target);
  });
});
