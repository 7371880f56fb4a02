import { assert } from '../../shared/errors.ts';
import { simulate } from './simulate.ts';

/** With this number of seeds or fewer, means are not meaningful. */
const FEW_SEEDS = 50;

/** Throws SimulationFailure unless all runs reach an undisturbed run's bytes despite all faults. */
export async function simulateFaults(first: number, seeds: number): Promise<void> {
  let faults = 0;
  for (let seed = first; seed < first + seeds; seed++) faults += (await simulate(seed)).faults;
  // About 17 per seed; individual seeds may have fewer.
  const enough = 10 * (seeds - FEW_SEEDS);
  assert(faults >= enough, `${seeds} seeds have at least ${enough} faults, not ${faults}`);
}

/** Throws SimulationFailure if a run that audits everything does not find its liar. */
export async function simulateLiars(first: number, seeds: number): Promise<void> {
  let liars = 0;
  for (let seed = first; seed < first + seeds; seed++)
    liars += (await simulate(seed, 'liar')).lies > 0 ? 1 : 0;
  // A liar that is never asked has not lied.
  const enough = 0.8 * (seeds - FEW_SEEDS);
  assert(liars >= enough, `in ${seeds} seeds, at least ${enough} workers lie, not ${liars}`);
}
