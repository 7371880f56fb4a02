import { existsSync, readdirSync } from 'node:fs';
import { arch } from 'node:process';
import { describe, expect, it } from 'vitest';
import { readyTensorFlow } from '../../worker/native/manifest.ts';
import { train } from './cluster.ts';

/** What test/install-nodes.sh fetches. */
const FOLDER = new URL('../../.mnist-dist/nodes/', import.meta.url);

/** Name and executable of every Node that is installed there. */
const nodes = (existsSync(FOLDER) ? readdirSync(FOLDER) : []).map((name) => ({
  name,
  path: new URL(`${name}/node_modules/node-linux-${arch}/bin/node`, FOLDER).pathname,
}));

describe.skipIf(nodes.length === 0)('other versions of Node (npm run nodes installs them)', () => {
  const engines = [
    { engine: 'wasm', isMissing: false },
    { engine: 'tensorflow', isMissing: readyTensorFlow() === undefined },
  ];

  it.each(engines.filter(({ isMissing }) => !isMissing))(
    'give the same bytes with $engine as this one',
    async ({ engine }) => {
      const settings = ['-n', '2', '--steps', '50', '--engine', engine];
      const here = await train(settings);
      expect(nodes.length).toBeGreaterThanOrEqual(4);
      for (const { name, path } of nodes) {
        const there = await train(settings, {}, path);
        expect(there.modelSha256, `Node ${name}`).toBe(here.modelSha256);
        expect(there.record.chain, `Node ${name}`).toBe(here.record.chain);
      }
    },
  );
});
