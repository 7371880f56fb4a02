import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import type { Host } from './network.ts';

const ETHERNET_BYTES = 14;
const FIN = 1;
const SYN = 2;
const RST = 4;

/** The bytes that one end of a TCP connection sent to the other, in order. */
export interface Stream {
  /** `10.77.0.2:40000 > 10.77.0.1:29400`. */
  readonly name: string;
  readonly bytes: Buffer;
  /** Whether the stream has ended. */
  readonly isOver: boolean;
}

/** Captures all packets on a host's network link. */
export class Capture {
  readonly #file: string;
  readonly #stop: () => Promise<string>;

  private constructor(file: string, stop: () => Promise<string>) {
    this.#file = file;
    this.#stop = stop;
  }

  static async start(host: Host): Promise<Capture> {
    const file = join(temporaryFolder(), 'capture.pcap');
    const tcpdump = host.watch(
      'tcpdump',
      '-i',
      host.name,
      '-U',
      '--immediate-mode',
      '-Z',
      'root',
      '-w',
      file,
      'tcp',
    );
    await tcpdump.says(/listening on/);
    return new Capture(file, async () => {
      tcpdump.process.kill('SIGINT');
      await tcpdump.exited;
      return tcpdump.output();
    });
  }

  /** All streams, once every connection has ended. Throws if packets were missed. */
  async streams(): Promise<Stream[]> {
    await until(() => {
      const streams = assemble(packetsIn(readFileSync(this.#file)));
      return streams.length > 0 && streams.every(({ isOver }) => isOver) ? true : undefined;
    });
    const summary = await this.#stop();
    if (!/^0 packets dropped by kernel$/m.test(summary)) throw new Error(summary);
    return assemble(packetsIn(readFileSync(this.#file)));
  }
}

/** The packets in a file that tcpdump writes, without an incomplete last packet. */
function packetsIn(file: Buffer): Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 24; at + 16 <= file.length;) {
    const [kept, had] = [file.readUInt32LE(at + 8), file.readUInt32LE(at + 12)];
    if (kept !== had) throw new Error(`a packet of ${had} bytes was cut to ${kept}`);
    if (at + 16 + kept <= file.length) packets.push(file.subarray(at + 16, at + 16 + kept));
    at += 16 + kept;
  }
  return packets;
}

interface Segment {
  readonly name: string;
  readonly sequence: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** The TCP segment in an IPv4 packet. */
function segmentOf(packet: Buffer): Segment {
  const ip = packet.subarray(ETHERNET_BYTES);
  const headerBytes = 4 * (ip.readUInt8(0) & 15);
  const tcp = ip.subarray(headerBytes, ip.readUInt16BE(2));
  const address = (from: number) => ip.subarray(from, from + 4).join('.');
  return {
    name: `${address(12)}:${tcp.readUInt16BE(0)} > ${address(16)}:${tcp.readUInt16BE(2)}`,
    sequence: tcp.readUInt32BE(4),
    flags: tcp.readUInt8(13),
    payload: tcp.subarray(4 * (tcp.readUInt8(12) >> 4)),
  };
}

function assemble(packets: readonly Buffer[]): Stream[] {
  const byName = new Map<string, Segment[]>();
  for (const segment of packets.map(segmentOf)) {
    const before = byName.get(segment.name);
    if (before === undefined) byName.set(segment.name, [segment]);
    else before.push(segment);
  }
  const has = (name: string, flags: number) =>
    (byName.get(name) ?? []).some((segment) => (segment.flags & flags) !== 0);
  return [...byName].map(([name, segments]) => {
    // A reset ends both streams of a connection.
    const other = name.split(' > ').toReversed().join(' > ');
    return { name, isOver: has(name, FIN | RST) || has(other, RST), bytes: joined(name, segments) };
  });
}

/** The bytes in the order of their sequence numbers, without retransmissions. */
function joined(name: string, segments: readonly Segment[]): Buffer {
  const first = segments.find(({ flags }) => (flags & SYN) !== 0);
  if (first === undefined) throw new Error(`the beginning of ${name} was missed`);
  const placed = segments
    .filter(({ payload }) => payload.length > 0)
    .map(({ sequence, payload }) => ({ start: (sequence - first.sequence - 1) >>> 0, payload }))
    .toSorted((a, b) => a.start - b.start);
  const parts: Buffer[] = [];
  let length = 0;
  for (const { start, payload } of placed) {
    if (start > length) throw new Error(`${start - length} bytes of ${name} were missed`);
    const fresh = payload.subarray(length - start);
    parts.push(fresh);
    length += fresh.length;
  }
  return Buffer.concat(parts);
}
