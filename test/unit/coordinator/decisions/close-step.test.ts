import { describe, expect, it } from 'vitest';
import type { Audit } from '../../../../coordinator/decisions/state.ts';
import { Cluster, configuration } from '../../../fixtures/reducer-cluster.ts';
import { EXPECTED, fail } from './answers.ts';

/** Two chunks of validation samples, and three of test samples. */
const split = { ...configuration, validationSamples: 700 };

function untilEvaluation(cluster: Cluster, kind: 'validation' | 'test', step: number): void {
  cluster.join(0);
  while (cluster.state.task?.kind !== kind || cluster.state.step !== step)
    cluster.answer(cluster.requests[0] ?? fail());
}

describe('a run with a validation set', () => {
  const [validated, tested] = [
    ['validation 4: 0,1', 'validation 8: 0,1'],
    ['test 8: 0,1,2'],
  ] as const;
  it('evaluates it after each epoch, and the test set once, at the end', () => {
    const cluster = new Cluster({ configuration: split });
    cluster.join(0);
    cluster.finish();
    expect(cluster.updates).toEqual(EXPECTED);
    expect(cluster.evaluations).toEqual([...validated, ...tested]);
    expect(cluster.state.evaluated).toEqual({ validation: 8, test: 8 });
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('drops predictions for the validation set that arrive during the test', () => {
    const cluster = new Cluster({ configuration: split });
    cluster.join(1);
    untilEvaluation(cluster, 'validation', 8);
    const late = cluster.requests[0] ?? fail();
    untilEvaluation(cluster, 'test', 8);
    const { fenced } = cluster.state.counts;
    cluster.answer(late);
    expect(cluster.state.counts.fenced).toBe(fenced + 1);
    expect(cluster.state.task?.openParts).toBe(3);
    expect(cluster.closed).toEqual([]);
  });

  it('that resumes between the two evaluations of its last step makes only the second', () => {
    const cluster = new Cluster({ configuration: split });
    cluster.state = { ...cluster.state, step: 8, evaluated: { validation: 8, test: 0 } };
    cluster.join(0);
    cluster.finish();
    expect(cluster.evaluations).toEqual(tested);
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('that is stopped between the two evaluations does not make the second', () => {
    const cluster = new Cluster({ configuration: split });
    untilEvaluation(cluster, 'validation', 8);
    cluster.dispatch({ kind: 'stop', code: 'INTERRUPTED', now: cluster.now });
    cluster.finish();
    expect(cluster.evaluations).toEqual(validated);
    expect(cluster.outcome?.state).toBe('interrupted');
    expect(cluster.state.evaluated).toEqual({ validation: 8, test: 0 });
  });
});

describe('a run with --keep-best that is stopped while its disk is full', () => {
  const best = { ...split, keepBest: true, minDelta: 0 } as const;
  const interrupted = { state: 'interrupted', code: 'TERMINATED' };

  it('does not wait for the record of an evaluation', () => {
    const cluster = new Cluster({ configuration: best });
    // Not answered, as while the checkpoint of the best weights waits for space.
    cluster.isRecordingHeld = true;
    untilEvaluation(cluster, 'validation', 4);
    cluster.finish();
    expect(cluster.outcome).toBeUndefined();
    cluster.dispatch({ kind: 'stop', code: 'TERMINATED', now: cluster.now });
    expect(cluster.outcome).toMatchObject(interrupted);
  });

  it('does not begin to record an evaluation', () => {
    const cluster = new Cluster({ configuration: best });
    cluster.isRecordingHeld = true;
    untilEvaluation(cluster, 'validation', 4);
    cluster.dispatch({ kind: 'stop', code: 'TERMINATED', now: cluster.now });
    expect(cluster.outcome).toBeUndefined();
    cluster.finish();
    expect(cluster.outcome).toMatchObject(interrupted);
    expect(cluster.state.evaluated).toEqual({ validation: 0, test: 0 });
  });
});

describe('a run that is recomputed', () => {
  it('evaluates only after the steps that it was given', () => {
    const evaluateAfter = { validation: new Set([3]), test: new Set([8]) };
    const cluster = new Cluster({ evaluateAfter, configuration: split });
    cluster.join(0);
    cluster.finish();
    expect(cluster.evaluations).toEqual(['validation 3: 0,1', 'test 8: 0,1,2']);
    expect(cluster.outcome?.state).toBe('finished');
    const none = new Set<number>();
    const never = new Cluster({ evaluateAfter: { validation: none, test: none } });
    never.join(0);
    never.finish();
    expect(never.updates).toEqual(EXPECTED);
    expect(never.evaluations).toEqual([]);
    expect(never.outcome?.state).toBe('finished');
  });
});

describe('a run with early stopping', () => {
  const patient = { ...split, earlyStopping: 1, minDelta: 0, epochs: 5 };
  const losses = new Map([
    [4, 2],
    [8, 1],
    [12, 1],
  ]);
  const stopping = (settings: { audit?: Audit } = {}) => {
    const cluster = new Cluster({ configuration: patient, totalSteps: 20, ...settings });
    cluster.lossOf = ({ step }) => losses.get(step) ?? 0;
    return cluster;
  };

  it('ends with the test when its patience does, and says so once', () => {
    const cluster = stopping();
    cluster.join(0);
    cluster.finish();
    expect(cluster.evaluations.map((text) => text.split(':')[0])).toEqual([
      'validation 4',
      'validation 8',
      'validation 12',
      'test 12',
    ]);
    const message = 'stopped early after epoch 3; best epoch 2';
    expect(cluster.outcome).toMatchObject({ state: 'finished', message });
    expect(cluster.logs.filter((line) => line === message)).toHaveLength(1);
    expect(cluster.state.judgement).toEqual({
      step: 12,
      best: { step: 8, loss: 1, link: 'link 8' },
      waited: 1,
    });
  });

  it('diverges if the loss of an evaluation is not finite', () => {
    const cluster = stopping();
    cluster.lossOf = () => undefined;
    cluster.join(0);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('diverged');
  });

  it('has the chunks that decide confirmed by a second worker, and finds a liar', () => {
    const cluster = stopping({ audit: { rate: 1, key: [1, 2] } });
    cluster.digestOf = ({ slot, kind }, checksum) =>
      slot === 2 && kind === 'validation' ? 'lie' : `${checksum}`;
    for (const slot of [0, 1, 2]) cluster.join(slot);
    cluster.finish();
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('does not have chunks confirmed that decide nothing', () => {
    const audit = { rate: 1, key: [1, 2] } as const;
    const cluster = new Cluster({ configuration: split, audit });
    const asked: string[] = [];
    for (const slot of [0, 1, 2]) cluster.join(slot);
    while (cluster.outcome === undefined) {
      const { task } = cluster.state;
      if (task !== undefined && task.kind !== 'step')
        asked.push(...[...task.parts.values()].map(({ quorum }) => `${quorum}`));
      cluster.answer(cluster.requests[0] ?? fail());
    }
    expect(new Set(asked)).toEqual(new Set(['1']));
  });

  it('with --keep-best tests the best weights, once they are restored', () => {
    const keepBest = { ...patient, keepBest: true } as const;
    const cluster = new Cluster({ configuration: keepBest, totalSteps: 20 });
    cluster.lossOf = ({ step }) => losses.get(step) ?? 0;
    cluster.join(0);
    cluster.finish();
    expect(cluster.restored).toEqual(['best']);
    expect(cluster.evaluations.at(-1)).toBe('test 12: 0,1,2');
    expect(cluster.state.weights).toBe('best');
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('with --keep-best returns to the last weights when a replay continues after a test', () => {
    const keepBest = { ...patient, keepBest: true } as const;
    const evaluateAfter = { validation: new Set([4, 8]), test: new Set([4, 8]) };
    const cluster = new Cluster({ configuration: keepBest, totalSteps: 8, evaluateAfter });
    cluster.join(0);
    cluster.finish();
    expect(cluster.restored).toEqual(['best', 'last', 'best']);
    expect(cluster.outcome?.state).toBe('finished');
  });
});
