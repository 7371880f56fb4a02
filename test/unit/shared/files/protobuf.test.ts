import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { MessageWriter } from '../../../../shared/files/protobuf.ts';

interface Message {
  toObject(): Readonly<Record<string, unknown>>;
}
type Name = 'HistogramProto' | 'Summary';
type Protobuf = Readonly<Record<Name, { deserializeBinary(bytes: Uint8Array): Message }>>;

/** TensorFlow's own classes for its messages, generated from its *.proto files. */
const protobuf = createRequire(import.meta.url)(
  '@tensorflow/tfjs-node-gpu/dist/proto/api_pb.js',
) as Protobuf;

function decoded(name: Name, write: (writer: MessageWriter) => void): unknown {
  const writer = new MessageWriter();
  write(writer);
  return protobuf[name].deserializeBinary(writer.result()).toObject();
}

it('doubles, floats, bytes and texts are read by other programs', () => {
  expect(decoded('HistogramProto', (to) => to.double(1, Math.PI))).toMatchObject({ min: Math.PI });
  const summary = decoded('Summary', (to) => {
    to.nested(1, () => {
      to.text(1, 'loss/größe');
      to.float(2, -0.1);
    });
    to.nested(1, () =>
      to.nested(4, () => {
        to.integer(1, 28);
        to.bytes(4, Uint8Array.of(0, 127, 128, 255));
      }),
    );
  });
  const encodedImageString = Buffer.from([0, 127, 128, 255]).toString('base64');
  expect(summary).toMatchObject({
    valueList: [
      { tag: 'loss/größe', simpleValue: Math.fround(-0.1) },
      { image: { height: 28, encodedImageString } },
    ],
  });
});

it('a message is not written if its length does not fit', () => {
  const write = (characters: number) => new MessageWriter(1).text(1, 'x'.repeat(characters));
  expect(() => write(127)).not.toThrow();
  expect(() => write(128)).toThrow('a message of 128 bytes is too long');
});
