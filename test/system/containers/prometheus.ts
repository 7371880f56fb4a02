import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../fixtures/deploy/dockerfile.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { until } from '../../fixtures/processes/program.ts';
import { Asker } from '../prometheus/prometheus.ts';

/**
 * Resolves when a Prometheus with deploy/docker's configuration has scraped the coordinator at this
 * port of this machine. Its rules are next to the configuration, its secrets in `folder`.
 */
export async function scrapedUp(folder: string, port: number): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'mnist-dist-prometheus-'));
  cpSync(join(root, 'dashboards/grafana/rules'), join(place, 'rules'), { recursive: true });
  const text = readFileSync(join(folder, 'prometheus.yml'), 'utf8')
    .replaceAll('/run/secrets/', `${folder}/secrets/`)
    .replace('coordinator:9464', `127.0.0.1:${port}`)
    .replace('tls_config:', 'tls_config:\n      server_name: coordinator');
  writeFileSync(join(place, 'prometheus.yml'), text);
  const address = `127.0.0.1:${await freePort()}`;
  const server = spawn(
    'prometheus',
    [
      `--config.file=${join(place, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(place, 'data')}`,
      `--web.listen-address=${address}`,
      '--log.level=error',
    ],
    { stdio: 'ignore' },
  );
  try {
    const asker = new Asker(`http://${address}`);
    await until(async () => {
      const [up] = await asker.at('up{job="mnist-dist"} == 1').catch(() => []);
      return up;
    });
  } finally {
    server.kill();
    await once(server, 'close');
    rmSync(place, { recursive: true, force: true });
  }
}
