import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { z } from 'zod';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { rulesFolder } from '../../fixtures/promtool.ts';

const sample = z.tuple([z.number(), z.string()]);
const labels = z.record(z.string(), z.string());
const result = z.discriminatedUnion('resultType', [
  z.object({
    resultType: z.literal('vector'),
    result: z.array(z.object({ metric: labels, value: sample })),
  }),
  z.object({
    resultType: z.literal('matrix'),
    result: z.array(z.object({ metric: labels, values: z.array(sample) })),
  }),
]);
const answer = z.object({ status: z.literal('success'), data: result });

/** A series with its samples: seconds since 1970, and a number that may be NaN. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly (readonly [time: number, value: number])[];
}

/** Queries a Prometheus, ours or any other. */
export class Asker {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url.replace(/\/$/, '');
  }

  async at(query: string, time?: number): Promise<Series[]> {
    return this.#ask('query', { query, ...(time === undefined ? {} : { time: String(time) }) });
  }

  async between(query: string, start: number, end: number, step: number): Promise<Series[]> {
    return this.#ask('query_range', {
      query,
      start: String(start),
      end: String(end),
      step: String(step),
    });
  }

  async #ask(path: string, parameters: Readonly<Record<string, string>>): Promise<Series[]> {
    const response = await fetch(`${this.#url}/api/v1/${path}`, {
      method: 'POST',
      body: new URLSearchParams(parameters),
    });
    const body: unknown = await response.json();
    if (!response.ok) throw new Error(`${parameters['query']}: ${JSON.stringify(body)}`);
    const { data } = answer.parse(body);
    if (data.resultType === 'vector')
      return data.result.map(({ metric, value }) => ({ labels: metric, points: [point(value)] }));
    return data.result.map(({ metric, values }) => ({ labels: metric, points: values.map(point) }));
  }
}

function point([time, text]: z.infer<typeof sample>): readonly [number, number] {
  const infinity = /^([+-])Inf$/.exec(text);
  return [time, infinity === null ? Number(text) : infinity[1] === '-' ? -Infinity : Infinity];
}

export interface RunningPrometheus {
  readonly asker: Asker;
  readonly url: string;
  /** Stops this Prometheus and removes its data. */
  stop(): Promise<void>;
}

/**
 * Starts a Prometheus that scrapes these addresses every second and evaluates our rules. It is
 * ready when this function resolves.
 */
export async function startPrometheus(targets: readonly string[]): Promise<RunningPrometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-prometheus-'));
  const config = join(folder, 'prometheus.yml');
  writeFileSync(
    config,
    stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [`${rulesFolder}*.yml`],
      scrape_configs: [{ job_name: 'mnist-dist', static_configs: [{ targets }] }],
    }),
  );
  const listen = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${listen}`,
      '--web.enable-lifecycle',
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text;
  });
  const ended = once(child, 'close');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const url = `http://${listen}`;
  while (!(await isReady(url))) {
    if (child.exitCode !== null) {
      await stop();
      throw new Error(`prometheus ended:\n${complaint}`);
    }
    await sleep(50);
  }
  return { asker: new Asker(url), url, stop };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/-/ready`)).ok;
  } catch {
    return false;
  }
}
