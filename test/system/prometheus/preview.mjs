// `npm run preview`: draws the dashboards as pictures, approximately as Grafana does. The data come
// from a Prometheus that watches a short real run, or, with `-- --prometheus URL`, from the newest
// run in that Prometheus. The pictures go to `--out DIR` (docs/images by default).
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

const { values } = parseArgs({
  options: {
    prometheus: { type: 'string' },
    out: { type: 'string', default: join(root, 'docs', 'images') },
  },
});
process.exitCode = await prepare().then(preview, explain);

function preview() {
  const out = resolve(values.out);
  mkdirSync(out, { recursive: true });
  const given = values.prometheus === undefined ? {} : { PREVIEW_PROMETHEUS: values.prometheus };
  const { status } = spawnSync(
    join(root, 'node_modules', '.bin', 'vitest'),
    ['run', '--project', 'system', 'test/system/prometheus/queries.test.ts'],
    { cwd: root, stdio: 'inherit', env: { ...process.env, PREVIEW_OUT: out, ...given } },
  );
  if (status === 0) process.stdout.write(`${out}/grafana-*.png\n`);
  return status ?? 1;
}
