import { expect, it } from 'vitest';
import { Cluster } from '../../../fixtures/reducer-cluster.ts';

it('a refusal says what can differ between engines whose descriptions are equal', () => {
  const cluster = new Cluster({ startWorkers: 2 });
  cluster.join(0, 'a');
  cluster.join(1, 'b');
  expect(cluster.logs.join('\n')).toContain(
    '(1 thread, fingerprint a). The two descriptions are equal; what can differ: environment',
  );
});
