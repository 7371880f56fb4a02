import { isIP } from 'node:net';
import { AUTHORITATIVE_ANSWER, decode, encode, type Answer, type DecodedPacket } from 'dns-packet';
import { z } from 'zod';
import { ClusterError } from '../errors.ts';
import { RUN_ID } from '../files/run-layout.ts';
import {
  ANNOUNCEMENT_TTL_SECONDS,
  MAX_ANNOUNCEMENT_BYTES,
  MAX_TXT_BYTES,
} from './announcement-limits.ts';
import { isLoopback } from './address.ts';

/**
 * How a coordinator announces itself on a network, by multicast DNS (RFC 6762) and DNS-SD (RFC
 * 6763). A worker asks from its own port, so the coordinator's answer goes only to that worker.
 * Announcements are not signed: they say where to dial, never what to trust.
 */
export interface Announcement {
  /** Identifies the coordinator process: the same on all networks and for all its addresses. */
  readonly id: string;
  /** `wss://HOST:PORT`, or `ws://HOST:PORT` without TLS. */
  readonly coordinator: string;
  readonly run: string;
  readonly protocol: number;
  /** The version of mnist-dist. */
  readonly version: string;
  /** SHA-256 of the authority's certificate, 64 hexadecimal digits; undefined without TLS. */
  readonly ca: string | undefined;
}

export const MDNS_ADDRESS = '224.0.0.251';
export const MDNS_PORT = 5353;

const SERVICE = '_mnist-dist._tcp.local';
const WITHOUT_TLS = 'none';
/**
 * Matches a scheme, a name or an address, and a port, without characters that could control a
 * terminal.
 */
const ADDRESS =
  /^wss?:\/\/(?:[a-z0-9](?:[a-z0-9._-]{0,199})|\[[0-9a-f:]{2,39}\]):[1-9][0-9]{0,4}$/i;

const txtSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  coordinator: z
    .string()
    .regex(ADDRESS)
    .refine((url) => URL.canParse(url)),
  run: z.string().regex(RUN_ID),
  protocol: z.string().regex(/^[0-9]{1,6}$/),
  version: z.string().regex(/^[A-Za-z0-9.+-]{1,64}$/),
  ca: z.union([z.literal(WITHOUT_TLS), z.string().regex(/^[0-9a-f]{64}$/)]),
});

/** A worker's question; the answer repeats its number. */
export function encodeQuestion(number: number): Buffer {
  return encode({ id: number, type: 'query', questions: [{ name: SERVICE, type: 'PTR' }] });
}

/**
 * Whether the datagram may be a question for coordinators. Most questions on a network are about
 * other services and need not be parsed.
 */
export function mayBeQuestion(datagram: Buffer): boolean {
  return datagram.includes(SERVICE.slice(0, SERVICE.indexOf('.')));
}

/** The number of a question for coordinators; undefined if the datagram is anything else. */
export function numberOfQuestion(datagram: Buffer): number | undefined {
  const packet = decoded(datagram);
  if (packet?.type !== 'query') return undefined;
  const isAsked = packet.questions?.some(
    ({ name, type }) => name.toLowerCase() === SERVICE && type === 'PTR',
  );
  return isAsked === true ? packet.id : undefined;
}

/** The answer to the question with this number. Throws LIMIT if the announcement is too long. */
export function encodeAnswer(announcement: Announcement, question: number): Buffer {
  const { coordinator, run, ca = WITHOUT_TLS } = announcement;
  const entries = Object.entries({ ...announcement, ca });
  const data = entries.map(([key, value]) => `${key}=${value}`);
  const long = data.find((entry) => entry.length > MAX_TXT_BYTES);
  if (long !== undefined)
    throw new ClusterError('LIMIT', `"${long}" is too long for an announcement`, {
      fix: `use a name of fewer than ${MAX_TXT_BYTES} characters (--advertise)`,
    });
  const name = `${run.replaceAll('.', '-').slice(0, 63)}.${SERVICE}`;
  const { hostname, port } = new URL(coordinator);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(host);
  // An SRV record must point to a name, so an address gets one.
  const target = family === 0 ? host : name.replace(`.${SERVICE}`, '.local');
  const ttl = ANNOUNCEMENT_TTL_SECONDS;
  const record = { ttl, class: 'IN' } as const;
  const additionals: Answer[] = [
    { ...record, name, type: 'SRV', data: { target, port: Number(port) } },
    { ...record, name, type: 'TXT', data },
  ];
  if (family !== 0)
    additionals.push({ ...record, name: target, type: family === 4 ? 'A' : 'AAAA', data: host });
  return encode({
    id: question,
    type: 'response',
    flags: AUTHORITATIVE_ANSWER,
    questions: [{ name: SERVICE, type: 'PTR' }],
    answers: [{ ...record, name: SERVICE, type: 'PTR', data: name }],
    additionals,
  });
}

/**
 * The announcement in the answer to the question with this number, which came from the address
 * `source`; undefined if the datagram is anything else. Another machine cannot direct a worker to a
 * loopback address; without TLS, it can direct the worker only to itself.
 */
export function parseAnswer(
  datagram: Buffer,
  question: number,
  source: string,
): Announcement | undefined {
  const packet = decoded(datagram);
  if (packet?.type !== 'response' || packet.id !== question) return undefined;
  const records = [...(packet.answers ?? []), ...(packet.additionals ?? [])];
  const parsed = txtSchema.safeParse(entriesOf(records));
  if (!parsed.success) return undefined;
  const { coordinator, protocol, ca, ...rest } = parsed.data;
  const { protocol: scheme, hostname } = new URL(coordinator);
  if ((scheme === 'ws:') !== (ca === WITHOUT_TLS)) return undefined;
  if (isLoopback(hostname) ? !isLoopback(source) : scheme === 'ws:' && hostname !== source)
    return undefined;
  return {
    ...rest,
    coordinator,
    protocol: Number(protocol),
    ca: ca === WITHOUT_TLS ? undefined : ca,
  };
}

/**
 * The `key=value` entries in a coordinator's first TXT record. If a key occurs twice, its first
 * entry counts.
 */
function entriesOf(records: readonly Answer[]): Record<string, string> {
  const [data] = records.flatMap((record) =>
    record.type === 'TXT' && record.name.toLowerCase().endsWith(`.${SERVICE}`) ? [record.data] : [],
  );
  const texts = (Array.isArray(data) ? data : [data ?? '']).map((text) => text.toString());
  const entries = texts.flatMap((text) => {
    const at = text.indexOf('=');
    return at < 1 ? [] : [[text.slice(0, at).toLowerCase(), text.slice(at + 1)] as const];
  });
  return Object.fromEntries(entries.toReversed());
}

function decoded(datagram: Buffer): DecodedPacket | undefined {
  if (datagram.length > MAX_ANNOUNCEMENT_BYTES) return undefined;
  try {
    return decode(datagram);
  } catch {
    return undefined;
  }
}
