import { describe, expect, it } from 'vitest';
import { MAX_ANNOUNCEMENTS } from '../../../shared/wire/announcement-limits.ts';
import type { OwnNetwork } from '../../../shared/wire/own-networks.ts';
import { Announcements, discover } from '../../../worker/discovery.ts';

it('a search keeps a limited number of announcements, each of them once', () => {
  const found = new Announcements();
  for (let i = 0; i < 3 * MAX_ANNOUNCEMENTS; i++)
    found.add({
      id: '0123456789abcdef',
      coordinator: 'wss://10.77.0.1:29400',
      run: `run-${i >> 1}`,
      protocol: 3,
      version: '0.2.0',
      ca: undefined,
    });
  expect(new Set(found.all.map(({ run }) => run)).size).toBe(MAX_ANNOUNCEMENTS);
  expect(found.all.length).toBe(MAX_ANNOUNCEMENTS);
});

describe('a search finds nothing, and does not fail,', () => {
  const signal = new AbortController().signal;

  it.concurrent('if the networks cannot be listed', async () => {
    const forbidden = () => {
      throw new Error('uv_interface_addresses returned Unknown system error 97');
    };
    expect(await discover(signal, forbidden)).toEqual([]);
  });

  it.concurrent('if the address of a network disappears', async () => {
    let asked = 0;
    const network: OwnNetwork = {
      isLoopback: true,
      has: () => true,
      // The socket is bound to the first one; the second one is in no network of this machine.
      get address() {
        asked += 1;
        return asked === 1 ? '127.0.0.1' : '192.0.2.77';
      },
    };
    expect(await discover(signal, () => [network])).toEqual([]);
    expect(asked).toBe(2);
  });
});
