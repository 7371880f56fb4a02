import { expect } from 'vitest';
import type { Observation } from '../../../../dashboards/feed/observation.ts';
import { METRIC_PREFIX } from '../../../../dashboards/metrics/catalogue.ts';

/** Reports an evaluation of four images, two of which are misclassified. */
export function evaluate(observation: Observation): void {
  observation.evaluation({
    set: 'test',
    step: 2,
    epoch: 1,
    samples: 4,
    loss: 0.25,
    correct: 2,
    confusion: [
      [1, 1],
      [1, 1],
    ],
    predictions: {
      // Class, loss, probabilities.
      values: Float32Array.of(0, 0.1, 0.9, 0.1, 1, 3, 0.05, 0.95, 0, 1, 0.7, 0.3, 1, 0.2, 0.2, 0.8),
      labels: Uint8Array.of(0, 0, 1, 1),
      classes: 2,
    },
  });
}

/** The samples of a scrape: `name{labels}` -> value, without the label run_id. */
export async function scrape(observation: Observation): Promise<Map<string, number>> {
  const text = (await observation.scrape())?.text ?? '';
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line.startsWith('#') || !line.startsWith(METRIC_PREFIX)) continue;
    const [, name = '', labels = '', value] = /^(\w+)\{(.*)\} (\S+)$/.exec(line) ?? [];
    expect(labels.split(',')).toContain('run_id="r"');
    const rest = labels.split(',').filter((label) => label !== 'run_id="r"');
    samples.set(`${name.slice(METRIC_PREFIX.length)}{${rest.toSorted().join(',')}}`, Number(value));
  }
  return samples;
}
