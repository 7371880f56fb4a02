import { describe, expect, it } from 'vitest';
import { Cluster, configuration } from '../../../fixtures/reducer-cluster.ts';
import { EXPECTED, fail } from './answers.ts';

/** Two chunks of validation samples, and three of test samples. */
const split = { ...configuration, validationSamples: 700 };

describe('a run with a validation set', () => {
  const [validated, tested] = [
    ['validation 4: 0,1', 'validation 8: 0,1'],
    ['test 8: 0,1,2'],
  ] as const;
  const untilEvaluation = (cluster: Cluster, kind: 'validation' | 'test', step: number) => {
    cluster.join(0);
    while (cluster.state.task?.kind !== kind || cluster.state.step !== step)
      cluster.answer(cluster.requests[0] ?? fail());
  };

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
