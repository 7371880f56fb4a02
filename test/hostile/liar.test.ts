import { expect, it, onTestFinished } from 'vitest';
import { errorTable } from '../../shared/errors.ts';
import { Attacker } from './attacker.ts';
import { tensorFrame } from './frames.ts';
import { configurationOf, expectUnharmed, startTarget } from './target.ts';

it('an audit excludes a worker that sends wrong results, and no weight changes', async () => {
  const audit = { rate: 1, key: [7, 11] } as const;
  const target = await startTarget(configurationOf(4), onTestFinished, { audit });
  await target.joinedBy('second');
  const attacker = await Attacker.join(target.port, target.fingerprint);
  const { fence, part } = await attacker.leased();
  const lie = new Float32Array(target.floats).fill(1);
  attacker.send(
    tensorFrame({ kind: 'gradient', ...fence, part, correct: 0, microseconds: 1 }, lie),
  );
  expect((await attacker.ended).close).toBe(errorTable.DISAGREEMENT.close);
  await expectUnharmed(target);
});
