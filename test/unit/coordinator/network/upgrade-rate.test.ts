import { describe, expect, it } from 'vitest';
import { UpgradeRate } from '../../../../coordinator/network/upgrade-rate.ts';
import {
  MAX_ADDRESSES_WITH_UPGRADES,
  MAX_UPGRADES_PER_ADDRESS,
  MAX_WORKERS,
  UPGRADES_PER_SECOND,
} from '../../../../shared/limits.ts';

/** How many of `tries` upgrades in the same instant are admitted. */
function admitted(rate: UpgradeRate, address: string, tries: number, now: number): number {
  return Array.from({ length: tries }, () => rate.admits(address, now)).filter(Boolean).length;
}

describe('the upgrade limit', () => {
  it('admits all workers of a run that start on one host at the same time', () => {
    expect(admitted(new UpgradeRate(), 'a', MAX_WORKERS, 0)).toBe(MAX_WORKERS);
  });

  it('admits an address that has used up its allowance UPGRADES_PER_SECOND times a second', () => {
    const rate = new UpgradeRate();
    expect(admitted(rate, 'a', 10_000, 0)).toBe(MAX_UPGRADES_PER_ADDRESS);
    expect(admitted(rate, 'a', 10_000, 1_000)).toBe(UPGRADES_PER_SECOND);
    expect(admitted(rate, 'a', 10_000, 10_000)).toBe(9 * UPGRADES_PER_SECOND);
    expect(admitted(rate, 'a', 10_000, 1e9)).toBe(MAX_UPGRADES_PER_ADDRESS);
  });

  it('applies to each address separately', () => {
    const rate = new UpgradeRate();
    admitted(rate, 'a', 10_000, 0);
    expect(rate.admits('b', 0)).toBe(true);
  });

  it('remembers the allowances of a limited number of addresses', () => {
    const rate = new UpgradeRate();
    admitted(rate, 'a', 10_000, 0);
    for (let i = 0; i < MAX_ADDRESSES_WITH_UPGRADES; i++) rate.admits(`other ${i}`, 0);
    expect(admitted(rate, 'a', 10_000, 0)).toBe(MAX_UPGRADES_PER_ADDRESS);
  });
});
