import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AnswerLimit, answering, networksOf } from '../../../../coordinator/network/announcer.ts';
import { ANSWERS_PER_SECOND } from '../../../../shared/wire/announcement-limits.ts';
import { encodeQuestion, parseAnswer } from '../../../../shared/wire/announcement.ts';
import type { OwnNetwork } from '../../../../shared/wire/own-networks.ts';

function network(address: string, isLoopback = false): OwnNetwork {
  return { address, isLoopback, has: () => true };
}

const networks = [network('127.0.0.1', true), network('10.77.0.1'), network('192.0.2.1')];

const announcement = {
  id: '0123456789abcdef',
  coordinator: 'ws://127.0.0.1:29400',
  run: 'run',
  protocol: 3,
  version: '0.2.0',
  ca: undefined,
};

describe('an announcer', () => {
  it.each([
    ['127.0.0.1', ['127.0.0.1']],
    ['localhost', ['127.0.0.1']],
    ['10.77.0.1', ['10.77.0.1']],
    ['0.0.0.0', ['10.77.0.1', '192.0.2.1']],
    ['::', ['10.77.0.1', '192.0.2.1']],
    ['gpu0.example', ['10.77.0.1', '192.0.2.1']],
  ])('for a listener on %s answers only where workers can reach it', (host, addresses) => {
    expect(networksOf(host, networks).map(({ address }) => address)).toEqual(addresses);
  });

  it('ignores a question to which nothing can be sent, and answers the next one', async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    const worker = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void [socket, worker].map((each) => each.close()));
    await Promise.all([socket, worker].map((each) => once(each, 'listening')));
    const answer = answering(socket, networks, () => announcement);
    answer(encodeQuestion(1), { address: '127.0.0.1', port: 0 });
    answer(encodeQuestion(2), worker.address());
    const [datagram] = await once(worker, 'message');
    expect(parseAnswer(datagram, 2, '127.0.0.1')).toEqual(announcement);
  });

  it('reads a bounded number of questions a second', () => {
    const limit = new AnswerLimit();
    const admitted = (now: number) =>
      Array.from({ length: 2 * ANSWERS_PER_SECOND }, () => limit.admits(now)).filter(Boolean);
    expect(admitted(0).length).toBe(ANSWERS_PER_SECOND);
    expect(admitted(999)).toEqual([]);
    expect(admitted(1000).length).toBe(ANSWERS_PER_SECOND);
  });
});
