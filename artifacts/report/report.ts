import { shownRateOf } from '../../shared/arithmetic/learning-rate.ts';
import { modelRows } from '../../shared/arithmetic/model-text.ts';
import { shownSettings } from '../../shared/configuration.ts';
import type { ClassScore } from '../../shared/evaluation/per-class.ts';
import { confidence, worst } from '../../shared/evaluation/worst.ts';
import { MAX_REPORTED_CONFUSIONS, MAX_SHOWN_MISTAKES } from '../../shared/limits.ts';
import { themed } from './colours.ts';
import { curveSvg, type Quantity } from './curve-picture.ts';
import type { TrainingCurve } from './training-curve.ts';
import { dataUri, digitOf, digitPngs } from './digit.ts';
import { count, fourDigits, percent } from '../../shared/text/number-format.ts';
import { Markup, markup } from './markup.ts';
import { matrixSvg } from './matrix-picture.ts';
import { visible } from '../../shared/printable.ts';
import { drawnNames } from './drawn-names.ts';
import { reportStyle } from './report-style.ts';
import type { Evaluation, Subject } from './subject.ts';
import type { ConfusionTable } from './tables.ts';

interface Tables {
  readonly scores: readonly ClassScore[];
  readonly table: ConfusionTable;
  /** Undefined if the report shows no training. */
  readonly curve: TrainingCurve | undefined;
}

/**
 * Maximum number of classes for a matrix next to the table; a larger matrix takes the full width of
 * the page.
 */
const MAX_PAIRED_CLASSES = 16;

/** Minimum number of classes for a matrix that scrolls instead of becoming too small to read. */
const MIN_SCROLLED_CLASSES = 8;

/** The report runs no scripts and fetches nothing, regardless of the text in it. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/** report.html: everything in one file, for light and dark screens and for paper. */
export async function report(
  evaluation: Evaluation,
  { scores, table, curve }: Tables,
): Promise<string> {
  const { subject, score } = evaluation;
  const names = table.classes.map(visible);
  const drawn = drawnNames(table.classes, names.length);
  const title =
    `${subject.run === undefined ? 'A model' : `Run ${visible(subject.run)}`} on ` +
    datasetOf(subject);
  const matrix = inline(
    await matrixSvg(table, themed, undefined),
    'Confusion matrix; its counts are in confusion_matrix.csv',
  );
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Markup(reportStyle)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
${headline(score, curve)}
</header>
<main>
${curve === undefined ? [] : await curves(curve)}
<section class="${scores.length > MAX_PAIRED_CLASSES ? 'single' : 'pair'}">
<section>
<h2>Confusion matrix</h2>
<p class="note">Rows are true classes, columns are predictions. The deeper the colour, the larger
the share of the row; blue is right, orange is wrong.</p>
<figure class="${scores.length < MIN_SCROLLED_CLASSES ? 'small' : 'wide'}">${matrix}</figure>
</section>
<section>
<h2>Classes</h2>
${classTable(scores, names)}
${confusions(table, drawn)}
</section>
</section>
${await mistakes(evaluation, drawn)}
${facts(subject)}
</main>
</body>
</html>
`.text;
}

function headline(
  { accuracy, loss, samples, correct }: Evaluation['score'],
  curve: TrainingCurve | undefined,
): Markup {
  const numbers = [
    ['accuracy', percent(accuracy)],
    ['loss', fourDigits(loss)],
    [`of ${count(samples)} wrong`, count(samples - correct)],
    ...(curve === undefined ? [] : [['steps', count(curve.steps)] as const]),
  ] as const;
  const items = numbers.map(
    ([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`,
  );
  return markup`<dl class="numbers">${items}</dl>`;
}

async function curves(curve: TrainingCurve): Promise<Markup> {
  const last = curve.smooth.at(-1);
  const figure = async (quantity: Quantity, title: string, value: string) => {
    const picture = await curveSvg(curve, quantity, themed, undefined);
    const description = `${title} over ${count(curve.steps)} steps, ending at ${value} in training`;
    return markup`<section>
<h2>${title}</h2>
<figure>${inline(picture, description)}</figure>
</section>
`;
  };
  return markup`<section class="pair">
${await figure('loss', 'Loss', fourDigits(last?.loss ?? NaN))}
${await figure('accuracy', 'Accuracy', percent(last?.accuracy ?? NaN))}
</section>`;
}

function classTable(scores: readonly ClassScore[], names: readonly string[]): Markup {
  const columns = ['class', 'precision', 'recall', 'F1', 'samples'];
  const rows = scores.map(({ precision, recall, f1, support }, index) => {
    const cells = [percent(precision), percent(recall), percent(f1), count(support)];
    return markup`<tr><th scope="row">${names[index] ?? ''}</th>
${cells.map((cell) => markup`<td>${cell}</td>`)}</tr>
`;
  });
  return markup`<table>
<thead><tr>${columns.map((column) => markup`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>
${rows}</tbody>
</table>
<p class="note">Precision: the share of a class's predictions that are right. Recall: the share of a
class's samples that are predicted as that class. F1: their harmonic mean. Each is 0 if it would
divide by 0.</p>`;
}

function confusions({ confusion }: ConfusionTable, names: readonly string[]): Markup {
  const pairs = confusion
    .flatMap((row, actual) => row.map((cases, predicted) => ({ actual, predicted, cases })))
    .filter(({ actual, predicted, cases }) => actual !== predicted && cases > 0)
    .toSorted((a, b) => b.cases - a.cases)
    .slice(0, MAX_REPORTED_CONFUSIONS);
  const items = pairs.map(
    ({ actual, predicted, cases }) =>
      markup`<li>${names[actual] ?? ''} taken for ${names[predicted] ?? ''}: ${count(cases)}</li>`,
  );
  return pairs.length === 0 ? markup`` : markup`<ol class="confused">${items}</ol>`;
}

async function mistakes(
  { subject, wrong, images }: Evaluation,
  names: readonly string[],
): Promise<Markup> {
  const shown = worst(wrong, MAX_SHOWN_MISTAKES);
  const pngs = await digitPngs(shown.map(({ index }) => digitOf(images, subject.dataset, index)));
  const items = shown.map((mistake, at) => {
    const [actual, predicted] = [names[mistake.true] ?? '', names[mistake.predicted] ?? ''];
    const source = dataUri(pngs[at] ?? Buffer.alloc(0));
    const note = `${percent(confidence(mistake), 1)} · ${mistake.index}`;
    return markup`<li><img src="${source}" alt="${actual}, taken for ${predicted}">
<b>${actual}</b> → ${predicted}<br><span class="note">${note}</span></li>
`;
  });
  const text =
    shown.length === 0
      ? 'There are none.'
      : 'True class → prediction, its probability, and the index of the sample. Most confident ' +
        'first.';
  return markup`<section>
<h2>Mistakes${shown.length < wrong.length ? `, ${shown.length} of ${count(wrong.length)}` : ''}</h2>
<p class="note">${text}</p>
<ul class="mistakes">
${items}</ul>
</section>`;
}

function facts(subject: Subject): Markup {
  const { version, model, dataset, engine } = subject;
  const { dataset: trainedOn, model: shape, ...settings } = model.configuration;
  const rows: (readonly [string, string])[] = [
    ...modelRows(shape),
    ...shownSettings(settings),
    ...lastRate(model),
    ['dataset', `${datasetOf(subject)}, SHA-256 ${dataset.sha256}`],
    ...(trainedOn === dataset.sha256 ? [] : [['trained on', `SHA-256 ${trainedOn}`] as const]),
    ['model', `SHA-256 ${model.sha256}, after step ${count(model.step)}`],
    ['chain', model.chain],
    [
      'engine',
      `${engine.kind}: ${engine.library}; ${engine.device}; ${engine.processor}; ` +
        (engine.threads === 1 ? '1 thread' : `${engine.threads} threads`),
    ],
    ['version', version],
  ];
  return markup`<section>
<h2>How to reproduce it</h2>
<dl class="facts">
${rows.map(
  ([name, value]) => markup`<dt>${name}</dt><dd>${visible(value)}</dd>
`,
)}</dl>
</section>`;
}

/** The learning rate of the model's last step, if it differs between steps. */
function lastRate({ configuration, step }: Subject['model']): (readonly [string, string])[] {
  const { learning_rate: learningRate, schedule, warmup } = configuration;
  const rate = shownRateOf({ learningRate, schedule, warmup }, step);
  return rate === undefined ? [] : [['last learning rate', String(rate)]];
}

function datasetOf({ dataset: { name, split } }: Subject): string {
  return `the ${split} set${name === undefined ? '' : ` of ${visible(name)}`}`;
}

/** Embeds a picture in the page, with a description for screen readers. */
function inline(svg: string, description: string): Markup {
  return new Markup(
    svg.replace('<svg ', () => markup`<svg role="img" aria-label="${description}" `.text),
  );
}
