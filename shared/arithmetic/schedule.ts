/**
 * The samples of each step, and their division into virtual shards. Steps and epochs count from 1.
 * The configuration and the number of training samples determine the schedule, so workers and the
 * coordinator compute it independently.
 */
export interface ScheduleInput {
  readonly trainSamples: number;
  /** Samples per step, over all workers. */
  readonly batchSize: number;
  readonly virtualShards: number;
  readonly epochs: number;
  /** Total steps; overrides `epochs`. */
  readonly steps?: number | undefined;
}

export interface StepPlan {
  readonly step: number;
  readonly epoch: number;
  /** Offset of the batch in the epoch's order. */
  readonly start: number;
  /** Samples in this batch: batchSize, or fewer in the last batch of an epoch. */
  readonly samples: number;
  /** Rows of every shard, with padding: ceil(batchSize / virtualShards), even in a short batch. */
  readonly rowsPerShard: number;
  readonly virtualShards: number;
  /** Shards with at least one sample; they come before the empty shards. */
  readonly realShards: number;
  /** Whether this is the last step of its epoch. */
  readonly endsEpoch: boolean;
}

export function stepsPerEpoch(input: ScheduleInput): number {
  return Math.ceil(input.trainSamples / input.batchSize);
}

export function totalSteps(input: ScheduleInput): number {
  return input.steps ?? input.epochs * stepsPerEpoch(input);
}

/** How many epochs the run starts; `steps` may end the last one early. */
export function totalEpochs(input: ScheduleInput): number {
  return Math.ceil(totalSteps(input) / stepsPerEpoch(input));
}

export function planStep(input: ScheduleInput, step: number): StepPlan {
  const perEpoch = stepsPerEpoch(input);
  const start = ((step - 1) % perEpoch) * input.batchSize;
  const samples = Math.min(input.batchSize, input.trainSamples - start);
  const rowsPerShard = Math.ceil(input.batchSize / input.virtualShards);
  return {
    step,
    epoch: Math.floor((step - 1) / perEpoch) + 1,
    start,
    samples,
    rowsPerShard,
    virtualShards: input.virtualShards,
    realShards: Math.ceil(samples / rowsPerShard),
    endsEpoch: step % perEpoch === 0,
  };
}
