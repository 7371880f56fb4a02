import {
  MAX_ADDRESSES_WITH_UPGRADES,
  MAX_UPGRADES_PER_ADDRESS,
  UPGRADES_PER_SECOND,
} from '../../shared/limits.ts';

interface Allowance {
  readonly upgrades: number;
  /** When `upgrades` was counted, in milliseconds. */
  readonly at: number;
}

/**
 * Limits how often one address may open a worker connection. A peer that knows the token could
 * otherwise be disconnected and dial again hundreds of times a second, and each connection takes
 * milliseconds from training.
 */
export class UpgradeRate {
  /** The address with the least recent upgrade first. */
  readonly #allowances = new Map<string, Allowance>();

  /** Whether this address may upgrade a connection now; counts the upgrade if so. */
  admits(address: string, now: number): boolean {
    const { upgrades, at } = this.#allowances.get(address) ?? {
      upgrades: MAX_UPGRADES_PER_ADDRESS,
      at: now,
    };
    const refilled = upgrades + ((now - at) * UPGRADES_PER_SECOND) / 1000;
    const left = Math.min(refilled, MAX_UPGRADES_PER_ADDRESS) - 1;
    if (left < 0) return false;
    this.#allowances.delete(address);
    this.#allowances.set(address, { upgrades: left, at: now });
    const [oldest] = this.#allowances.keys();
    if (oldest !== undefined && this.#allowances.size > MAX_ADDRESSES_WITH_UPGRADES)
      this.#allowances.delete(oldest);
    return true;
  }
}
