import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLogger } from '../../../../cli/terminal/log.ts';
import { Output } from '../../../../cli/terminal/output.ts';
import { printable, printableJson } from '../../../../shared/printable.ts';

const clock = () => new Date(2026, 0, 2, 12, 3, 4);

function logged(level: 'debug' | 'info' | 'warn', format: 'text' | 'json') {
  const lines: string[] = [];
  const log = createLogger({
    level,
    format,
    clock,
    fields: { process: 'p' },
    destination: new Output({ write: (line) => lines.push(line) }, {}),
  });
  return { log, lines };
}

test('text lines have the time and the message, but fields only at level debug', () => {
  const { log, lines } = logged('info', 'text');
  log.debug({}, 'not shown');
  log.info({ worker: 'w0' }, 'worker w0 joined (tensorflow, cpu)');
  log.warn({}, 'slow');
  log.error({}, 'gone');
  expect(lines).toEqual([
    '12:03:04 worker w0 joined (tensorflow, cpu)\n',
    '12:03:04 warning: slow\n',
    '12:03:04 error: gone\n',
  ]);
  const debug = logged('debug', 'text');
  debug.log.debug({ worker: 'w 0', count: 3, list: [1], error: new Error('why') }, 'm');
  expect(debug.lines).toEqual([
    '12:03:04 debug: m process=p worker="w 0" count=3 list=[1] error="why"\n',
  ]);
});

test('JSON lines are one object each, with the level as a word and complete errors', () => {
  const { log, lines } = logged('warn', 'json');
  log.info({}, 'not shown');
  log.warn({ worker: 'w0', error: new Error('why') }, 'slow');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'warn',
    time: clock().toISOString(),
    process: 'p',
    worker: 'w0',
    msg: 'slow',
    error: { message: 'why' },
  });
});

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

test('no line can control a terminal, and JSON keeps its meaning', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\u001b[2J', '\u009b2J', '\u202eevil', 'a\nb', '\ud800', '\u{e0041}', '\u007f'),
  );
  fc.assert(
    fc.property(hostile, hostile, (message, field) => {
      const text = logged('debug', 'text');
      text.log.info({ [field]: field }, message);
      expect(text.lines.join('').slice(0, -1)).not.toMatch(UNSAFE);
      const json = logged('debug', 'json');
      json.log.info({ field }, message);
      const line = json.lines.join('');
      expect(line.slice(0, -1)).not.toMatch(UNSAFE);
      const parsed = JSON.parse(line);
      if (message.isWellFormed()) expect(parsed.msg).toBe(message);
      if (field.isWellFormed()) expect(parsed.field).toBe(field);
    }),
  );
});

test('printable escapes control characters and leaves other text unchanged', () => {
  expect(printable('a\u001b[31mb\n')).toBe('a\\u{1b}[31mb\\u{a}');
  expect(printable('grün 日本 👍')).toBe('grün 日本 👍');
  expect(printableJson('{"a":"\u009b"}\n')).toBe('{"a":"\\u009b"}\n');
});
