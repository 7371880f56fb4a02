import { describe, expect, it } from 'vitest';
import { networkOf } from '../../../../coordinator/network/peer-network.ts';

describe('limits count an address for', () => {
  it.each([
    ['10.0.0.5', '10.0.0.5'],
    ['127.0.0.1', 'loopback'],
    ['127.255.3.9', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:10.0.0.5', '::ffff:10.0.0.5'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8::ffff:1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['2001:0db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('%s: %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
