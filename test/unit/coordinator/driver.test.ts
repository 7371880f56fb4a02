import { expect, it } from 'vitest';
import { Driver } from '../../../coordinator/driver.ts';
import type { Peer } from '../../../coordinator/network/peer.ts';
import { Predictions } from '../../../coordinator/predictions.ts';
import { initialState } from '../../../coordinator/decisions/state.ts';
import { Tensors } from '../../../coordinator/tensors.ts';
import { systemClock } from '../../../shared/clock.ts';
import { PROTOCOL } from '../../../shared/wire/messages.ts';
import { initialWeights } from '../../../shared/arithmetic/random.ts';
import { configuration } from '../../fixtures/recorded-run.ts';
import { ARITHMETIC } from '../../../shared/arithmetic/version.ts';
import { idleObserver } from './idle-observer.ts';

it('a coordinator that has ended tells late workers why, and ignores their messages', () => {
  const said: unknown[] = [];
  const peer: Peer = {
    slot: 0,
    traffic: () => ({
      sentBytes: 0,
      receivedBytes: 0,
      queuedBytes: 0,
      roundTripMilliseconds: undefined,
    }),
    send: (message) => said.push(message),
    beat: () => said.push('beat'),
    sendWeights: () => said.push('weights'),
    close: (code, message) => said.push([code, message]),
    terminate: (reason) => said.push(reason),
  };
  const policy = {
    startWorkers: 1,
    minWorkers: 1,
    maxWorkers: 1,
    rendezvousMilliseconds: 60_000,
    allowMixedEngines: false,
    checkpointEvery: { steps: 1 },
    audit: undefined,
  };
  const driver = new Driver({
    state: initialState({ ...policy, run: 'r', term: 1, configuration, totalSteps: 12 }, 0),
    tensors: new Tensors(configuration, initialWeights(1, configuration.model)),
    predictions: new Predictions(configuration),
    observer: idleObserver,
    clock: systemClock,
    newSession: () => '0'.repeat(32),
  });
  driver.connected(peer);
  driver.shutDown({ state: 'failed', code: 'DISK', message: 'the disk is full' });
  expect(said.splice(0)).toEqual([['DISK', 'the disk is full']]);
  const hello = {
    kind: 'hello',
    protocol: PROTOCOL,
    arithmetic: ARITHMETIC,
    version: '0',
    name: 'w',
  } as const;
  driver.message(peer, hello, undefined);
  expect(said).toEqual([]);
  driver.connected({ ...peer, slot: 1 });
  expect(said).toEqual([['DISK', 'the disk is full']]);
});
