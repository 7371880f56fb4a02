import { Cluster, configuration, type Request } from '../../../fixtures/reducer-cluster.ts';

export const FULL = '(((s0+s1)+(s2+s3))+((s4+s5)+(s6+s7)))';
// 100 samples in batches of 32: the fourth batch has 4 samples, which is one shard of 4 rows.
export const EXPECTED = [FULL, FULL, FULL, '(((s0+0)+0)+0)', FULL, FULL, FULL, '(((s0+0)+0)+0)'];
export const audit = { rate: 1, key: [1, 2] } as const;
/** A run in which no batch is short. */
export const long = {
  configuration: { ...configuration, trainSamples: 9600, epochs: 1 },
  totalSteps: 300,
};

/** A cluster whose workers join before step 1. `wrong` says which of their answers are wrong. */
export function clusterOf(
  workers: number,
  settings = {},
  wrong: (request: Request) => boolean = () => false,
): Cluster {
  const cluster = new Cluster({ startWorkers: workers, ...settings });
  lie(cluster, wrong);
  for (let slot = 0; slot < workers; slot++) cluster.join(slot);
  return cluster;
}

/** Makes the chosen answers wrong from now on, each in a different way. */
export function lie(cluster: Cluster, wrong: (request: Request) => boolean): void {
  cluster.checksumOf = (request) =>
    wrong(request) ? -1n - BigInt(request.slot) : BigInt(1000 * request.step + request.part);
}

export function parts(cluster: Cluster): number[][] {
  return cluster.requests.map(({ slot, part }) => [slot, part]);
}

export function requestOf(cluster: Cluster, slot: number, part: number): Request {
  const request = cluster.requests.find((each) => each.slot === slot && each.part === part);
  if (request === undefined)
    throw new Error(`slot ${slot} was not asked for ${part}: ${JSON.stringify(parts(cluster))}`);
  return request;
}

export function answer(cluster: Cluster, slot: number, part: number): void {
  cluster.answer(requestOf(cluster, slot, part));
}

/** Has the workers answer requests until none are left. */
export function answerAll(cluster: Cluster): void {
  while (cluster.requests.length > 0 && cluster.outcome === undefined)
    for (const request of cluster.requests.slice()) cluster.answer(request);
}

/** Sends the coordinator a result that it did not ask for. */
export function say(
  cluster: Cluster,
  slot: number,
  step: number,
  part: number,
  checksum: bigint,
): void {
  const fence = { run: 'r', term: 1, step, part, microseconds: 1, correct: 0 };
  cluster.say(slot, { kind: 'gradient', ...fence }, checksum);
}

export function beat(cluster: Cluster, milliseconds: number): void {
  for (let left = milliseconds; left > 0; left -= 10_000) {
    for (const slot of cluster.state.workers.keys()) cluster.say(slot, { kind: 'heartbeat' });
    cluster.tick(Math.min(left, 10_000));
  }
}

export function named({ state }: Cluster): unknown {
  return state.suspects;
}

export function fail(): never {
  throw new Error('no worker was asked');
}

export function workerIn(cluster: Cluster, slot: number) {
  return cluster.state.workers.get(slot) ?? fail();
}
