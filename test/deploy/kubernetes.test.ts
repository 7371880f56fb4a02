import { expect, it } from 'vitest';
import { build, kubernetes, nameOf } from './kustomize.ts';
import { schemaProblems } from './schema.ts';
it.each(['cpu', 'gpu'])('%s', (overlay) => {
  for (const manifest of build(`${kubernetes}${overlay}`))
    expect(schemaProblems(manifest), nameOf(manifest)).toEqual([]);
});
