import { BlockList } from 'node:net';
import { networkInterfaces } from 'node:os';
import { MAX_OWN_NETWORKS } from './announcement-limits.ts';
import { isLoopback } from './address.ts';

/** An IPv4 network that this machine is connected to. */
export interface OwnNetwork {
  /** This machine's address on the network. */
  readonly address: string;
  readonly isLoopback: boolean;
  /** Whether the network contains this address. */
  has(address: string): boolean;
}

/** This machine's IPv4 networks, loopback included. */
export function ownNetworks(interfaces = networkInterfaces()): OwnNetwork[] {
  return Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .flatMap(({ family, address, cidr }) => {
      if (family !== 'IPv4' || cidr === null) return [];
      const subnet = new BlockList();
      subnet.addSubnet(address, Number(cidr.split('/')[1]));
      const has = (other: string): boolean => subnet.check(other);
      return [{ address, isLoopback: isLoopback(address), has }];
    })
    .slice(0, MAX_OWN_NETWORKS);
}
