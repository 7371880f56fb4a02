/**
 * Which samples a step trains and how they are cut into virtual shards. Steps and epochs count from
 * 1. All of it follows from the configuration and the number of training samples; workers and
 * coordinator compute it alike.
 */
export interface ScheduleInput {
  readonly trainSamples: number;
  /** Samples per step over all workers. */
  readonly batchSize: number;
  readonly virtualShards: number;
  readonly epochs: number;
  /** Total steps; wins over epochs. */
  readonly steps?: number | undefined;
}

export interface StepPlan {
  readonly step: number;
  readonly epoch: number;
  /** Where the batch begins in the epoch's order. */
  readonly start: number;
  /** The samples of this batch: batchSize, or fewer in the last one of an epoch. */
  readonly samples: number;
  /**
   * Rows of every shard, padding included: ceil(batchSize / virtualShards), also in a short batch.
   */
  readonly rowsPerShard: number;
  readonly virtualShards: number;
  /** Shards with at least one sample: always the first ones. */
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

/** Epochs that are begun, the last one perhaps cut short by `steps`. */
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
