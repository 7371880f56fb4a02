import { describe, expect, it } from 'vitest';
import {
  hasStoppedEarly,
  judge,
  judgingSet,
  type Judgement,
} from '../../../../shared/evaluation/judgement.ts';

/** Counts evaluations until the run stops; their steps are 1, 2, 3, ... */
function after(losses: readonly number[], earlyStopping: number, minDelta = 0) {
  const rule = { earlyStopping, minDelta };
  let judgement: Judgement | undefined;
  for (const [i, loss] of losses.entries()) {
    if (hasStoppedEarly(judgement, rule)) break;
    judgement = judge(judgement, { step: i + 1, loss, link: '' }, rule);
  }
  return judgement && { ...judgement, isStopped: hasStoppedEarly(judgement, rule) };
}

describe('early stopping', () => {
  it('stops after as many evaluations without a lower loss as the patience says', () => {
    const losses = [5, 4, 6, 3, 3.5, 7, 3.2, 1];
    expect(after(losses, 1)).toMatchObject({ step: 3, best: { step: 2, loss: 4 }, waited: 1 });
    expect(after(losses, 3)).toMatchObject({ step: 7, best: { step: 4, loss: 3 }, waited: 3 });
    expect(after(losses, 4)).toMatchObject({ step: 8, best: { step: 8 }, isStopped: false });
    expect(after(losses.slice(0, 6), 3)).toMatchObject({ waited: 2, isStopped: false });
  });

  it('with a patience of 0 is the same as with 1, as in Keras', () => {
    for (const losses of [[1], [2, 1, 1], [1, 2], [3, 2, 1]])
      expect(after(losses, 0)).toEqual(after(losses, 1));
    expect(after([1], 0)?.isStopped).toBe(false);
  });

  it('counts neither equal losses nor falls of at most --min-delta as improvements', () => {
    expect(after([1, 1], 1)).toMatchObject({ best: { step: 1 }, isStopped: true });
    expect(after([1, 0.75], 1, 0.25)).toMatchObject({ best: { step: 1 }, isStopped: true });
    expect(after([1, 0.74], 1, 0.25)).toMatchObject({ best: { step: 2 }, isStopped: false });
  });

  it('counts each evaluation once', () => {
    const rule = { earlyStopping: 1, minDelta: 0 };
    const judgement = judge(undefined, { step: 7, loss: 1, link: '' }, rule);
    expect(judge(judgement, { step: 7, loss: 2, link: '' }, rule)).toBe(judgement);
  });

  it('judges by the validation set if there is one, otherwise by the test set', () => {
    expect(judgingSet({ earlyStopping: 2, validationSamples: 5 })).toBe('validation');
    expect(judgingSet({ earlyStopping: 2 })).toBe('test');
    expect(judgingSet({ keepBest: true, validationSamples: 5 })).toBe('validation');
    expect(judgingSet({ validationSamples: 5 })).toBeUndefined();
  });
});
