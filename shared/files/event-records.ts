import { crc32c } from './crc32c.ts';
import { MessageWriter } from './protobuf.ts';

/** The fields of tensorboard/compat/proto/event.proto. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SESSION_STATUS = 1;
const SESSION_START = 1;
/** The fields of summary.proto. */
const SUMMARY_VALUE = 1;
const VALUE = { tag: 1, simpleValue: 2, image: 4, tensor: 8, metadata: 9 } as const;
const IMAGE = { height: 1, width: 2, colorspace: 3, encoded: 4 } as const;
const RGBA = 4;
const METADATA_PLUGIN = 1;
const PLUGIN = { name: 1, content: 2 } as const;
/** The fields of tensor.proto and tensor_shape.proto. */
const TENSOR = { type: 1, shape: 2, floats: 5 } as const;
const FLOAT_TYPE = 1;
const SHAPE_DIMENSION = 2;
const DIMENSION_SIZE = 1;
/** The fields of tensorboard/plugins/hparams/plugin_data.proto. */
const HPARAMS = { version: 1, sessionStart: 3, sessionEnd: 4 } as const;
const START = { hparams: 1, group: 4, time: 5 } as const;
const END = { status: 1, time: 2 } as const;
const ENTRY = { key: 1, value: 2 } as const;
/** The fields of google.protobuf.Value. */
const ANY = { number: 2, text: 3, bool: 4 } as const;

const HEADER_BYTES = 12;
const FOOTER_BYTES = 4;
/** The scalars of a step fit in a message of 16 KiB. */
const SHORT_LENGTH_BYTES = 2;

export interface PngImage {
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

/** A step, and when it was taken, in Unix seconds. */
export interface EventTime {
  readonly step: number;
  readonly seconds: number;
}

/**
 * Encodes the records of a TensorBoard event file: an Event, preceded by its length and followed by
 * its checksum (https://www.tensorflow.org/tutorials/load_data/tfrecord).
 */
export class EventRecords {
  readonly #short = new MessageWriter(SHORT_LENGTH_BYTES);

  /** The first record of a file. */
  fileVersion(seconds: number): Uint8Array {
    return record((event) => {
      event.double(EVENT.wallTime, seconds);
      event.text(EVENT.fileVersion, 'brain.Event:2');
    });
  }

  /**
   * Makes TensorBoard drop what earlier files in the folder contain from this step on: a resumed
   * run computes these steps again.
   */
  sessionStart(time: EventTime): Uint8Array {
    return eventRecord(time, (event) =>
      event.nested(EVENT.sessionLog, () => event.integer(SESSION_STATUS, SESSION_START)),
    );
  }

  /** The scalars of a step, in one record. */
  scalars(time: EventTime, values: readonly (readonly [string, number])[]): Uint8Array {
    const event = this.#short;
    event.clear();
    writeTime(event, time);
    event.nested(EVENT.summary, () => {
      for (const [tag, value] of values) {
        event.nested(SUMMARY_VALUE, () => {
          event.text(VALUE.tag, tag);
          event.float(VALUE.simpleValue, value);
        });
      }
    });
    return sealed(event.result());
  }

  image(time: EventTime, tag: string, { width, height, png }: PngImage): Uint8Array {
    return valueRecord(time, tag, (event) =>
      event.nested(VALUE.image, () => {
        event.integer(IMAGE.height, height);
        event.integer(IMAGE.width, width);
        event.integer(IMAGE.colorspace, RGBA);
        event.bytes(IMAGE.encoded, png);
      }),
    );
  }

  /** The settings of a run, for the hparams page. `group` names the run. */
  hyperparameters(
    time: EventTime,
    group: string,
    settings: ReadonlyMap<string, string | number | boolean>,
  ): Uint8Array {
    return hparamsRecord(time, '_hparams_/session_start_info', (event) =>
      event.nested(HPARAMS.sessionStart, () => {
        for (const [key, value] of settings) {
          event.nested(START.hparams, () => {
            event.text(ENTRY.key, key);
            event.nested(ENTRY.value, () => writeAny(event, value));
          });
        }
        event.text(START.group, group);
        event.double(START.time, time.seconds);
      }),
    );
  }

  /** Whether the run succeeded, for the hparams page. */
  hyperparametersEnd(time: EventTime, hasSucceeded: boolean): Uint8Array {
    return hparamsRecord(time, '_hparams_/session_end_info', (event) =>
      event.nested(HPARAMS.sessionEnd, () => {
        event.integer(END.status, hasSucceeded ? 1 : 2);
        event.double(END.time, time.seconds);
      }),
    );
  }
}

function writeTime(event: MessageWriter, { step, seconds }: EventTime): void {
  event.double(EVENT.wallTime, seconds);
  event.integer(EVENT.step, step);
}

function writeAny(event: MessageWriter, value: string | number | boolean): void {
  if (typeof value === 'number') event.double(ANY.number, value);
  else if (typeof value === 'string') event.text(ANY.text, value);
  else event.integer(ANY.bool, value ? 1 : 0);
}

function eventRecord(time: EventTime, write: (event: MessageWriter) => void): Uint8Array {
  return record((event) => {
    writeTime(event, time);
    write(event);
  });
}

function valueRecord(
  time: EventTime,
  tag: string,
  write: (event: MessageWriter) => void,
): Uint8Array {
  return eventRecord(time, (event) =>
    event.nested(EVENT.summary, () =>
      event.nested(SUMMARY_VALUE, () => {
        event.text(VALUE.tag, tag);
        write(event);
      }),
    ),
  );
}

/** TensorBoard reads the data from the metadata, and wants a tensor beside it. */
function hparamsRecord(
  time: EventTime,
  tag: string,
  write: (event: MessageWriter) => void,
): Uint8Array {
  return valueRecord(time, tag, (event) => {
    event.nested(VALUE.tensor, () => {
      event.integer(TENSOR.type, FLOAT_TYPE);
      event.nested(TENSOR.shape, () =>
        event.nested(SHAPE_DIMENSION, () => event.integer(DIMENSION_SIZE, 1)),
      );
      event.floats(TENSOR.floats, [0]);
    });
    event.nested(VALUE.metadata, () =>
      event.nested(METADATA_PLUGIN, () => {
        event.text(PLUGIN.name, 'hparams');
        event.nested(PLUGIN.content, () => {
          event.integer(HPARAMS.version, 0);
          write(event);
        });
      }),
    );
  });
}

function record(write: (event: MessageWriter) => void): Uint8Array {
  const event = new MessageWriter();
  write(event);
  return sealed(event.result());
}

function sealed(event: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + event.length + FOOTER_BYTES);
  bytes.writeUInt32LE(event.length, 0);
  bytes.writeUInt32LE(0, 4);
  bytes.writeUInt32LE(masked(crc32c(bytes.subarray(0, 8))), 8);
  bytes.set(event, HEADER_BYTES);
  bytes.writeUInt32LE(masked(crc32c(event)), HEADER_BYTES + event.length);
  return bytes;
}

/** The form of a checksum that is stored beside its data. */
function masked(checksum: number): number {
  return (((checksum >>> 15) | (checksum << 17)) + 0xa282ead8) >>> 0;
}
