// `npm run preview`: the dashboards as pictures, approximately as Grafana draws them, from a short
// real run that a Prometheus watches, or with `-- --prometheus URL` from that one and its newest
// run. `--out DIR` says where to (docs/images).
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
