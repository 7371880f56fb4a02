import type { NetworkInterfaceInfo } from 'node:os';
import { expect, it } from 'vitest';
import { MAX_OWN_NETWORKS } from '../../../../shared/wire/announcement-limits.ts';
import { ownNetworks } from '../../../../shared/wire/own-networks.ts';

function ipv4(address: string, prefix: number): NetworkInterfaceInfo {
  const common = { family: 'IPv4', netmask: '', mac: '', internal: false } as const;
  return { ...common, address, cidr: `${address}/${prefix}` };
}

it('ownNetworks returns only IPv4 networks', () => {
  const [lo, eth0, ...others] = ownNetworks({
    lo: [ipv4('127.0.0.1', 8)],
    eth0: [
      ipv4('10.77.0.1', 24),
      {
        family: 'IPv6',
        address: 'fd00::1',
        netmask: '',
        mac: '',
        internal: false,
        cidr: 'fd00::1/64',
        scopeid: 0,
      },
    ],
  });
  expect(others).toEqual([]);
  expect([lo?.isLoopback, eth0?.isLoopback]).toEqual([true, false]);
  expect([lo?.address, eth0?.address]).toEqual(['127.0.0.1', '10.77.0.1']);
  expect(['10.77.0.200', '10.77.1.1', '::1'].map((address) => eth0?.has(address))).toEqual([
    true,
    false,
    false,
  ]);
});

it('ownNetworks returns a limited number of networks', () => {
  const many = Array.from({ length: 2 * MAX_OWN_NETWORKS }, (_, i) => ipv4(`10.0.${i}.1`, 24));
  expect(ownNetworks({ eth0: many }).length).toBe(MAX_OWN_NETWORKS);
});
