import { once } from 'node:events';
import { createServer } from 'node:http';
import { Gauge, Registry } from 'prom-client';
import { catalogue, METRIC_PREFIX, metricNames } from '../../observation/catalogue.ts';
import { onTestFinished } from 'vitest';

/** Exports what a coordinator will export of its workers' GPUs, with values that move. Resolves with its address. */
export async function startDevices(run: string, workers: readonly string[]): Promise<string> {
  const register = new Registry();
  register.setDefaultLabels({ run_id: run });
  for (const name of metricNames.filter((each) => each.startsWith('gpu_'))) {
    const { help, labels } = catalogue[name];
    const gauge = new Gauge({
      ...{ name: METRIC_PREFIX + name, help, labelNames: labels, registers: [register] },
      collect() {
        workers.forEach((worker, index) => {
          const wave = (1 + Math.sin(Date.now() / 5000 + index)) / 2;
          gauge.set({ worker, gpu: '0' }, valueOf(name, wave));
        });
      },
    });
  }
  const server = createServer((_, response) => {
    void register.metrics().then((text) => response.end(text));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listening server has a port');
  return `127.0.0.1:${address.port}`;
}

function valueOf(name: string, wave: number): number {
  const gibibyte = 1024 ** 3;
  if (name === 'gpu_memory_size_bytes') return 80 * gibibyte;
  if (name === 'gpu_memory_used_bytes') return (40 + 4 * wave) * gibibyte;
  if (name === 'gpu_temperature_celsius') return 40 + 20 * wave;
  return name === 'gpu_power_watts' ? 80 + 200 * wave : wave;
}
