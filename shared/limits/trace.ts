/** The limits of --trace. A name without a unit is a count. */

/** Steps that are traced unless --trace-steps says otherwise: after the first, slower ones. */
export const DEFAULT_TRACE_STEPS = { from: 101, to: 200 } as const;
/** Maximum number of spans of the coordinator, and of results, in a trace; about 30 MB as JSON. */
export const MAX_TRACED = 50_000;
/** Events that are written before other work is done. */
export const TRACE_EVENTS_AT_A_TIME = 2_000;
