import { describe, expect, it } from 'vitest';
import {
  FIRST_LEASE_MILLISECONDS,
  HEARTBEAT_INTERVAL_MILLISECONDS,
  IDLE_LIMIT_MILLISECONDS,
  MAX_SMALL_MESSAGES,
  SMALL_MESSAGES_PER_SECOND,
} from '../../../../shared/limits.ts';
import { EVALUATION_CHUNK_ROWS } from '../../../../shared/limits/model.ts';
import type { WorkerMessage } from '../../../../shared/wire/messages.ts';
import { beat, clusterOf, fail, long } from './answers.ts';
import { configuration, type Cluster } from '../../../fixtures/reducer-cluster.ts';

const heartbeat: WorkerMessage = { kind: 'heartbeat' };
const late: WorkerMessage = {
  kind: 'gradient',
  run: 'r',
  term: 0,
  step: 1,
  part: 2,
  correct: 0,
  microseconds: 1,
};

/** The kinds of message that count against the budget; each function sends one. */
const ways: [string, (cluster: Cluster) => void][] = [
  ['heartbeats', (cluster) => cluster.say(1, heartbeat)],
  ['GPU reports', (cluster) => cluster.say(1, { kind: 'devices', gpus: [] })],
  ['results from another term', (cluster) => cluster.say(1, late, 1n)],
  ['pings', (cluster) => cluster.dispatch({ kind: 'control', slot: 1, now: cluster.now })],
];

describe('a worker that floods the coordinator', () => {
  it.each(ways)('with %s is disconnected with LIMIT', (_, say) => {
    const cluster = clusterOf(2, long);
    const asked = cluster.requests.filter(({ slot }) => slot === 1).length;
    let said = 0;
    while (cluster.closed.length === 0 && said <= asked + MAX_SMALL_MESSAGES) {
      say(cluster);
      said += 1;
    }
    expect(cluster.closed).toEqual([{ slot: 1, code: 'LIMIT' }]);
    cluster.say(0, heartbeat);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('with a few messages of each kind is disconnected as well', () => {
    const cluster = clusterOf(2, long);
    const asked = cluster.requests.filter(({ slot }) => slot === 1).length;
    for (let i = 0; i <= asked + MAX_SMALL_MESSAGES; i++) ways[i % ways.length]?.[1](cluster);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'LIMIT' }]);
  });

  it('may send messages as fast as its budget grows', () => {
    const cluster = clusterOf(2, long);
    for (let i = 0; i < 10 * MAX_SMALL_MESSAGES; i++) {
      cluster.now += 1_000 / SMALL_MESSAGES_PER_SECOND;
      cluster.say(1, heartbeat);
    }
    expect(cluster.closed).toEqual([]);
  });
});

it('an honest worker stays below the limit, even if all its messages arrive together', () => {
  const cluster = clusterOf(2, long);
  // The heartbeats that a worker sends before it gives up the connection. It sends fewer reports,
  // pings and pongs.
  const beats = IDLE_LIMIT_MILLISECONDS / HEARTBEAT_INTERVAL_MILLISECONDS + 1;
  for (let i = 0; i < 4 * beats; i++) ways[i % ways.length]?.[1](cluster);
  expect(cluster.closed).toEqual([]);
  // Requested results do not count against the budget.
  for (let i = 0; i < 2 * MAX_SMALL_MESSAGES; i++) {
    const [request] = cluster.requests;
    if (request !== undefined) cluster.answer(request);
  }
  expect(cluster.closed).toEqual([]);
});

it('a late worker may deliver any number of results that it was asked for', () => {
  const chunks = 3 * MAX_SMALL_MESSAGES;
  const cluster = clusterOf(2, {
    configuration: { ...configuration, testSamples: chunks * EVALUATION_CHUNK_ROWS, epochs: 2 },
  });
  while (cluster.state.task?.kind === 'step') cluster.answer(cluster.requests[0] ?? fail());
  // Worker 1 is suspended during the evaluation, so worker 0 computes every chunk.
  const late = cluster.requests.filter(({ slot }) => slot === 1);
  expect(late.length).toBeGreaterThan(MAX_SMALL_MESSAGES);
  while (cluster.state.task?.kind === 'test') {
    const request = cluster.requests.find(({ slot }) => slot === 0);
    if (request === undefined) beat(cluster, FIRST_LEASE_MILLISECONDS);
    else cluster.answer(request);
  }
  for (const request of late) cluster.answer(request);
  expect(cluster.closed).toEqual([]);
  cluster.finish();
  expect(cluster.outcome?.state).toBe('finished');
});
