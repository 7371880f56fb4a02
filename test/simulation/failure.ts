/**
 * Thrown when a simulation violates an invariant. The message contains the invariant and the last
 * events.
 */
export class SimulationFailure extends Error {
  constructor(seed: number, journal: readonly string[], cause: unknown) {
    const what = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const last = journal.slice(-40).join('\n');
    super(`${what}\n\nthe last events:\n${last}\n\nto reproduce: npm run sim -- --seed ${seed}`, {
      cause,
    });
  }
}
