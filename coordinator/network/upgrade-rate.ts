import { fullBudget, spendOne, type Budget } from '../../shared/budget.ts';
import {
  MAX_ADDRESSES_WITH_UPGRADES,
  MAX_UPGRADES_PER_ADDRESS,
  UPGRADES_PER_SECOND,
} from '../../shared/limits.ts';

const UPGRADES = { max: MAX_UPGRADES_PER_ADDRESS, perSecond: UPGRADES_PER_SECOND };

/**
 * Limits how often one address may open a worker connection. A peer that knows the token could
 * otherwise be disconnected and dial again hundreds of times a second, and each connection takes
 * milliseconds from training.
 */
export class UpgradeRate {
  /** Ordered by each address's latest upgrade, the oldest first. */
  readonly #budgets = new Map<string, Budget>();

  /** Whether this address may upgrade a connection now; counts the upgrade if so. */
  admits(address: string, now: number): boolean {
    const budget = this.#budgets.get(address) ?? fullBudget(UPGRADES, now);
    const left = spendOne(budget, UPGRADES, now);
    if (left === undefined) return false;
    this.#budgets.delete(address);
    this.#budgets.set(address, left);
    const [oldest] = this.#budgets.keys();
    if (oldest !== undefined && this.#budgets.size > MAX_ADDRESSES_WITH_UPGRADES)
      this.#budgets.delete(oldest);
    return true;
  }
}
