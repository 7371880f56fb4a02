/** A simulation that broke an invariant: which one, and what had happened before. */
export class SimulationFailure extends Error {
  constructor(seed: number, journal: readonly string[], cause: unknown) {
    const what = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const last = journal.slice(-40).join('\n');
    super(
      `${what}\n\nthe last of what happened:\n${last}\n\nagain: npm run sim -- --seed ${seed}`,
      {
        cause,
      },
    );
  }
}
