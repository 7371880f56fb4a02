import { describe, expect, it } from 'vitest';
import { artifactsOf } from '../../../../artifacts/report/artifacts.ts';
import { count, fourDigits, percent } from '../../../../shared/text/number-format.ts';
import { markup } from '../../../../artifacts/report/markup.ts';
import { digitNames } from '../../../../shared/dataset/class-names.ts';
import { confidence, worst } from '../../../../shared/evaluation/worst.ts';
import { MAX_SHOWN_MISTAKES } from '../../../../shared/limits.ts';
import { textOf } from '../../../fixtures/artifact-files.ts';
import { hostile, madeUpEvaluation, madeUpMetrics } from '../../../fixtures/evaluation.ts';

async function reportOf(...given: Parameters<typeof madeUpEvaluation>) {
  const made = madeUpEvaluation(...given);
  return { ...made, html: textOf(await artifactsOf(made.evaluation), 'report.html') };
}

describe('the report', () => {
  it('shows the same numbers as the files', async () => {
    const { html, evaluation } = await reportOf(digitNames, {
      samples: 2000,
      metrics: madeUpMetrics(2, 50),
    });
    const { accuracy, loss, samples, correct } = evaluation.score;
    expect(html).toContain(`<dt>accuracy</dt><dd>${percent(accuracy)}</dd>`);
    expect(html).toContain(`<dt>loss</dt><dd>${fourDigits(loss)}</dd>`);
    expect(html).toContain(`<dt>of 2,000 wrong</dt><dd>${count(samples - correct)}</dd>`);
    expect(html).toContain('<dt>steps</dt><dd>100</dd>');
    expect(html.match(/<tbody>.*<\/tbody>/s)?.[0].match(/<tr>/g)).toHaveLength(10);
    const shown = [
      ...html.matchAll(/<b>(\d)<\/b> → (\d)<br><span class="note">([\d.]+ %) · (\d+)</g),
    ];
    expect(shown.map(([, ...each]) => each)).toEqual(
      worst(evaluation.wrong, MAX_SHOWN_MISTAKES).map((each) => [
        String(each.true),
        String(each.predicted),
        percent(confidence(each), 1),
        String(each.index),
      ]),
    );
    expect(shown).toHaveLength(MAX_SHOWN_MISTAKES);
    for (const fact of [
      '784 - 128 - 10',
      'ef'.repeat(32),
      'cd'.repeat(32),
      'learning rate',
      '0.001',
    ])
      expect(html).toContain(fact);
  });

  it('shows the schedule and the last learning rate of a run whose rate changed', async () => {
    const { evaluation, html } = await reportOf(digitNames, { samples: 20 });
    expect(html).not.toContain('last learning rate');
    const { subject } = evaluation;
    const schedule = { kind: 'step', decay: 0.5, every: 50 } as const;
    const configuration = { ...subject.model.configuration, schedule };
    const changed = { ...subject, model: { ...subject.model, configuration } };
    const files = await artifactsOf({ ...evaluation, subject: changed });
    const text = textOf(files, 'report.html');
    for (const fact of [
      '<dt>schedule</dt><dd>step</dd>',
      '<dt>every</dt><dd>50</dd>',
      '<dt>last learning rate</dt><dd>0.0005</dd>',
    ])
      expect(text).toContain(fact);
  });

  it('lists the most frequent confusions, in descending order', async () => {
    const { html, evaluation } = await reportOf(digitNames, { samples: 2000 });
    const pairs = evaluation.score.confusion.flatMap((row, actual) =>
      row.filter((_, predicted) => predicted !== actual),
    );
    const listed = [...html.matchAll(/<li>\d taken for \d: (\d+)<\/li>/g)].map(([, cases]) =>
      Number(cases),
    );
    expect(listed).toEqual(pairs.toSorted((a, b) => b - a).slice(0, 10));
  });

  it('is one file without scripts or requests', async () => {
    const { html } = await reportOf(hostile, { metrics: madeUpMetrics(1, 9) });
    expect(html).toContain(
      `content="default-src &#39;none&#39;; img-src data:; style-src &#39;unsafe-inline&#39;"`,
    );
    expect(html).not.toMatch(/<script|<link|<iframe|<object|@import|url\(|javascript:/i);
    expect(html).not.toMatch(/<[^>]* on\w+=/i);
    const addresses = [...html.matchAll(/\s(?:src|href|xlink:href)="([^"]*)"/g)].map(
      ([, address = '']) => address,
    );
    expect(addresses.length).toBeGreaterThan(10);
    expect(addresses.filter((address) => !address.startsWith('data:image/png;base64,'))).toEqual(
      [],
    );
    const others = [...html.matchAll(/https?:[^" ]+/g)].map(([address]) => address);
    expect(new Set(others)).toEqual(
      new Set(['http://www.w3.org/2000/svg', 'http://www.w3.org/1999/xlink']),
    );
  });

  it('escapes all text from outside', async () => {
    const { evaluation } = madeUpEvaluation(hostile, { metrics: madeUpMetrics(1, 9) });
    const evil = `"><b onclick='x'>\u202e&`;
    const { subject } = evaluation;
    const html = textOf(
      await artifactsOf({
        ...evaluation,
        subject: {
          ...subject,
          version: evil,
          run: evil,
          engine: { ...subject.engine, library: evil, device: evil },
          dataset: { ...subject.dataset, name: evil },
        },
      }),
      'report.html',
    );
    const escaped = '&#34;&#62;&#60;b onclick=&#39;x&#39;&#62;\ufffd&#38;';
    expect(html.split(escaped).length - 1).toBeGreaterThanOrEqual(6);
    expect(html).not.toContain("onclick='");
    expect(html).not.toContain('\u202e');
    expect(html).toContain('<th scope="row">&#60;b&#62;&#38;&#34;</th>');
    expect(html).toContain('<th scope="row">\ufffdabc</th>');
    expect(html.match(/<\/style>/g)).toHaveLength(1);
  });
});

describe('markup', () => {
  it('escapes values and leaves markup alone', () => {
    const inner = markup`<i>${'<&>"\''}</i>`;
    expect(markup`<p title="${'"'}">${[inner, inner]}${3}</p>`.text).toBe(
      `<p title="&#34;">${'<i>&#60;&#38;&#62;&#34;&#39;</i>'.repeat(2)}3</p>`,
    );
  });
});
