import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { missing } from '../../fixtures/promtool.ts';

const folder = fileURLToPath(new URL('../../../deploy/observability/', import.meta.url));
const read = (path: string): unknown => parse(readFileSync(`${folder}${path}`, 'utf8'));

/** The part of Grafana's documented format for data source files that we might use. */
const dataSources = z.strictObject({
  apiVersion: z.literal(1),
  datasources: z.array(
    z.strictObject({
      name: z.string(),
      uid: z.string().regex(/^[A-Za-z0-9_-]{1,40}$/),
      type: z.literal('prometheus'),
      access: z.enum(['proxy', 'direct']),
      url: z.url(),
      isDefault: z.boolean(),
      jsonData: z.strictObject({ httpMethod: z.enum(['GET', 'POST']), timeInterval: z.string() }),
    }),
  ),
});

/** The same for dashboard provider files. */
const providers = z.strictObject({
  apiVersion: z.literal(1),
  providers: z.array(
    z.strictObject({
      name: z.string(),
      orgId: z.int().optional(),
      type: z.literal('file'),
      folder: z.string(),
      folderUid: z.string().optional(),
      disableDeletion: z.boolean().optional(),
      allowUiUpdates: z.boolean(),
      updateIntervalSeconds: z.int().min(10),
      options: z.strictObject({
        path: z.string(),
        foldersFromFilesStructure: z.boolean().optional(),
      }),
    }),
  ),
});

const scrapes = z.looseObject({
  scrape_configs: z.array(z.looseObject({ job_name: z.string(), scrape_interval: z.string() })),
});

describe('deploy/observability', () => {
  it("has provisioning files in Grafana's format", () => {
    const [source] = dataSources.parse(
      read('grafana/provisioning/datasources/prometheus.yml'),
    ).datasources;
    expect(source?.uid).toBe('mnist-dist-prometheus');
    const [provider] = providers.parse(
      read('grafana/provisioning/dashboards/mnist-dist.yml'),
    ).providers;
    const variable = provider?.options.path.slice(1) ?? '';
    expect(readFileSync(`${folder}README.md`, 'utf8')).toContain(
      ` ${variable}=$PWD/dashboards/grafana `,
    );
  });

  it('tells Grafana how often Prometheus scrapes', () => {
    const [job] = scrapes.parse(read('prometheus.yml')).scrape_configs;
    const [source] = dataSources.parse(
      read('grafana/provisioning/datasources/prometheus.yml'),
    ).datasources;
    expect(job?.job_name).toBe('mnist-dist');
    expect(source?.jsonData.timeInterval).toBe(job?.scrape_interval);
  });

  it('lists only files that exist', () => {
    const text = readFileSync(`${folder}README.md`, 'utf8');
    const named = [...text.matchAll(/^\| `([^`*]+)`/gm)].map(([, path = '']) => path);
    expect(named.length).toBeGreaterThan(2);
    for (const path of named) expect(existsSync(`${folder}${path}`), path).toBe(true);
    expect(readdirSync(`${folder}coordinators`)).toEqual(['README.md']);
  });

  it.skipIf(missing !== undefined)(
    `has a prometheus.yml that promtool accepts${missing === undefined ? '' : `: ${missing}`}`,
    () => {
      const { status, stdout, stderr } = spawnSync(
        'promtool',
        ['check', 'config', `${folder}prometheus.yml`],
        {
          encoding: 'utf8',
        },
      );
      expect(status, stderr).toBe(0);
      expect(stdout).toContain('2 rule files found');
    },
  );
});
