import { expect, it } from 'vitest';
import { crc32c } from '../../../../shared/files/crc32c.ts';
import { EventRecords } from '../../../../shared/files/event-records.ts';
import { readEvents } from '../../../fixtures/trackers/event-reader.ts';

it('CRC-32C has the values of RFC 3720', () => {
  expect(crc32c(Buffer.from('123456789')).toString(16)).toBe('e3069283');
  expect(crc32c(new Uint8Array(32)).toString(16)).toBe('8a9136aa');
  expect(crc32c(new Uint8Array(32).fill(255)).toString(16)).toBe('62a8ab43');
});

it('records have a length, an event and their checksums', () => {
  const records = new EventRecords();
  const time = { step: 70_000, seconds: 1_764_560_000.25 };
  const png = Uint8Array.of(1, 2, 3);
  const file = Buffer.concat([
    records.fileVersion(time.seconds),
    records.sessionStart(time),
    records.scalars(time, [
      ['loss/train', 0.5],
      ['accuracy/train', 0.25],
    ]),
    records.image(time, 'test/mistakes', { width: 3, height: 200, png }),
    records.hyperparameters(time, 'r', new Map([['seed', 1]])),
    records.hyperparametersEnd(time, true),
  ]);
  const events = readEvents(file);
  expect(events[0]).toMatchObject({ version: 'brain.Event:2', seconds: time.seconds });
  expect(
    events.slice(1).every(({ step, seconds }) => step === time.step && seconds === time.seconds),
  ).toBe(true);
  expect(events.map(({ isSessionStart }) => isSessionStart)).toEqual([
    false,
    true,
    false,
    false,
    false,
    false,
  ]);
  expect(events.flatMap(({ values }) => values)).toMatchObject([
    { tag: 'loss/train', scalar: 0.5 },
    { tag: 'accuracy/train', scalar: 0.25 },
    { tag: 'test/mistakes', image: { width: 3, height: 200 } },
    { tag: '_hparams_/session_start_info', plugin: 'hparams' },
    { tag: '_hparams_/session_end_info', plugin: 'hparams' },
  ]);
  expect(Buffer.from(events[3]?.values[0]?.image?.png ?? [])).toEqual(Buffer.from(png));
});
