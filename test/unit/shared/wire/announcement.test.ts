import { decode, encode, type Answer } from 'dns-packet';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeAnswer,
  encodeQuestion,
  numberOfQuestion,
  mayBeQuestion,
  parseAnswer,
  type Announcement,
} from '../../../../shared/wire/announcement.ts';

const ID = 4711;
const SOURCE = '10.77.0.1';
const CA = 'ab'.repeat(32);
const NAME = 'run._mnist-dist._tcp.local';
const announced: Announcement = {
  id: '0123456789abcdef',
  coordinator: 'wss://10.77.0.1:29400',
  run: '2026-11-30_10.30.00',
  protocol: 3,
  version: '0.2.0',
  ca: CA,
};
const withoutTls = { ...announced, coordinator: 'ws://10.77.0.1:29400', ca: undefined };
const entries: Readonly<Record<string, string>> = {
  id: announced.id,
  coordinator: announced.coordinator,
  run: announced.run,
  protocol: '3',
  version: announced.version,
  ca: CA,
};

function textRecord(changes: Readonly<Record<string, string>>, name = NAME): Answer {
  const data = Object.entries({ ...entries, ...changes }).map(([key, text]) => `${key}=${text}`);
  return { type: 'TXT', name, data };
}

function answerWith(...answers: readonly Answer[]): Buffer {
  return encode({ id: ID, type: 'response', answers: [...answers] });
}

describe('an announcement', () => {
  it.each([
    ['an address', announced],
    ['a name', { ...announced, coordinator: 'wss://gpu0.example:29400' }],
    ['an IPv6 address', { ...announced, coordinator: 'wss://[fd00::5]:29400' }],
    ['no TLS', withoutTls],
    ['a run id that is too long for a label', { ...announced, run: 'r'.repeat(64) }],
  ])('with %s survives encoding', (_what, announcement) => {
    expect(parseAnswer(encodeAnswer(announcement, ID), ID, SOURCE)).toEqual(announcement);
  });

  it('follows DNS-SD: the service has a name, and the name has an address and a port', () => {
    const { answers = [], additionals = [] } = decode(encodeAnswer(announced, ID));
    const [instance] = answers.map((answer) => (answer.type === 'PTR' ? answer.data : ''));
    const service = additionals.find((record) => record.type === 'SRV');
    expect(service).toMatchObject({ name: instance, data: { port: 29_400 } });
    expect(additionals).toContainEqual(
      expect.objectContaining({ type: 'A', name: service?.data.target, data: SOURCE }),
    );
  });

  it('is not encoded with a name that is too long', () => {
    const coordinator = `wss://${'a'.repeat(250)}:29400`;
    expect(() => encodeAnswer({ ...announced, coordinator }, ID)).toThrow(
      'is too long for an announcement',
    );
  });

  it.each<[string, Buffer, string?]>([
    ['the answer to another question', encodeAnswer(announced, ID + 1)],
    ['a question', encodeQuestion(ID)],
    ['nothing', Buffer.alloc(0)],
    ['no text record', answerWith({ type: 'A', name: NAME, data: SOURCE })],
    ['a text record for a different service', answerWith(textRecord({}, 'x._http._tcp.local'))],
    ['more bytes than fit', answerWith(textRecord({}), textRecord({ pad: 'x'.repeat(1400) }))],
    ['no id', answerWith(textRecord({ id: '' }))],
    ['a run id that is a path', answerWith(textRecord({ run: '../x' }))],
    ['an escape sequence in the run id', answerWith(textRecord({ run: '\u001b[2Jrun' }))],
    ['a long run id', answerWith(textRecord({ run: 'r'.repeat(65) }))],
    ['an escape sequence in the version', answerWith(textRecord({ version: '1\u001b[31m' }))],
    ['a protocol that is not a number', answerWith(textRecord({ protocol: '3e9' }))],
    ['a path in the address', answerWith(textRecord({ coordinator: 'wss://10.77.0.1:1/x' }))],
    ['a user in the address', answerWith(textRecord({ coordinator: 'wss://me@10.77.0.1:1' }))],
    ['a port that is too large', answerWith(textRecord({ coordinator: 'wss://10.77.0.1:65536' }))],
    ['a different scheme', answerWith(textRecord({ coordinator: 'https://10.77.0.1:29400' }))],
    ['a short fingerprint', answerWith(textRecord({ ca: 'ab' }))],
    ['TLS without a fingerprint', answerWith(textRecord({ ca: 'none' }))],
    ['a fingerprint without TLS', answerWith(textRecord({ coordinator: 'ws://10.77.0.1:1' }))],
    [
      'a fingerprint without TLS, the scheme in capitals',
      answerWith(textRecord({ coordinator: 'WS://10.77.0.1:1' })),
    ],
    ["an address without TLS that is not the sender's", encodeAnswer(withoutTls, ID), '10.77.0.9'],
    [
      'loopback, from another machine',
      encodeAnswer({ ...announced, coordinator: 'wss://127.0.0.1:29400' }, ID),
    ],
    [
      'a name for loopback, from another machine',
      encodeAnswer({ ...announced, coordinator: 'wss://localhost:29400' }, ID),
    ],
  ])('is not taken from a datagram with %s', (_what, datagram, source = SOURCE) => {
    expect(parseAnswer(datagram, ID, source)).toBeUndefined();
  });

  it('may describe a coordinator on loopback if it came from loopback', () => {
    const local = { ...withoutTls, coordinator: 'ws://127.0.0.1:40000' };
    expect(parseAnswer(encodeAnswer(local, ID), ID, '127.0.0.1')).toEqual(local);
  });

  it('consists of the first text record, with the first entry for each key', () => {
    const twice: Answer = {
      type: 'TXT',
      name: NAME,
      data: [...Object.entries(entries).map(([key, text]) => `${key}=${text}`), 'run=other'],
    };
    const datagram = answerWith(twice, textRecord({ run: 'second' }));
    expect(parseAnswer(datagram, ID, SOURCE)).toEqual(announced);
  });

  it('never causes an error, for any bytes', () => {
    const genuine = encodeAnswer(announced, ID);
    const change = fc.record({
      at: fc.nat({ max: genuine.length - 1 }),
      byte: fc.integer({ min: 0, max: 255 }),
    });
    const changed = fc.array(change, { minLength: 1, maxLength: 8 }).map((changes) => {
      const bytes = Buffer.from(genuine);
      for (const { at, byte } of changes) bytes[at] = byte;
      return bytes;
    });
    const noise = fc.uint8Array({ maxLength: 1500 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(changed, noise), (datagram) => {
        const parsed = parseAnswer(datagram, ID, SOURCE);
        if (parsed === undefined) return;
        expect(Object.values(parsed).join('')).toMatch(/^[\w.:/[\]+-]*$/);
        numberOfQuestion(datagram);
      }),
    );
  });
});

describe('a question', () => {
  it('is recognised by its service', () => {
    expect(mayBeQuestion(encodeQuestion(ID))).toBe(true);
    expect(numberOfQuestion(encodeQuestion(ID))).toBe(ID);
  });

  it.each([
    ['for a different service', encode({ type: 'query', questions: [{ type: 'PTR', name: 'x' }] })],
    [
      'for a different type',
      encode({ type: 'query', questions: [{ type: 'A', name: '_mnist-dist._tcp.local' }] }),
    ],
    ['that is an answer', encodeAnswer(announced, ID)],
    ['that is cut off', encodeQuestion(ID).subarray(0, 20)],
    ['that is too large', Buffer.concat([encodeQuestion(ID), Buffer.alloc(1400)])],
  ])('%s is not answered', (_which, datagram) => {
    expect(numberOfQuestion(datagram)).toBeUndefined();
  });
});
