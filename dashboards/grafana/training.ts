import type { Plan } from './layout.ts';
import { fixed, palette, workerColors } from './palette.ts';
import { curves, lines, rows, stat, text, type PanelSource } from './panels.ts';
import { lastBy, of, range, rate, rateBy, table, value } from './queries.ts';

const samplesRate = rate(of('train_samples_total'));
const meanLoss = `${rate(of('train_loss_sum_total'))} / ${samplesRate}`;
const meanAccuracy = `${rate(of('train_correct_total'))} / ${samplesRate}`;
/** The gauges of an evaluation mean nothing before there was one. */
const evaluated = (expr: string): string => `${expr} and ${value('validation_step')} > 0`;

const state: readonly PanelSource[] = [
  stat({
    title: 'Validation accuracy',
    width: 4,
    height: 4,
    unit: 'percentunit',
    field: { decimals: 2 },
    description:
      'Share of right answers over the test set at the last evaluation, after each epoch.',
    queries: [range('validation', evaluated(value('validation_accuracy_ratio')))],
  }),
  stat({
    title: 'Training loss',
    width: 4,
    height: 4,
    unit: 'none',
    field: { decimals: 4 },
    description:
      'Mean loss over all samples of the last interval, with dropout and before the update.',
    queries: [range('mean', meanLoss)],
  }),
  stat({
    title: 'Progress',
    width: 4,
    height: 4,
    unit: 'percentunit',
    graph: 'none',
    field: { decimals: 1 },
    description: 'Steps that are done, of all that the run has.',
    queries: [range('steps', `${value('train_step')} / ${value('steps_planned')}`)],
  }),
  stat({
    title: 'Time left',
    width: 4,
    height: 4,
    unit: 's',
    graph: 'none',
    field: { decimals: 0 },
    description: 'Steps that are left at the speed of now.',
    queries: [
      range(
        'left',
        `(${value('steps_planned')} - ${value('train_step')}) / ${rate(of('train_steps_total'))}`,
      ),
    ],
  }),
  stat({
    title: 'Samples per second',
    width: 4,
    height: 4,
    unit: 'locale',
    field: { decimals: 0 },
    description: 'Training samples whose gradients counted, over all workers.',
    queries: [range('samples', samplesRate)],
  }),
  stat({
    title: 'State',
    width: 4,
    height: 4,
    unit: 'none',
    graph: 'none',
    description:
      'Training while steps are computed. Otherwise workers are waited for, or the run is over: Progress tells which.',
    queries: [range('state', value('training_running'))],
    field: {
      mappings: [
        {
          type: 'value',
          options: {
            '0': { text: 'not training', color: palette.grey, index: 0 },
            '1': { text: 'training', color: palette.green, index: 1 },
          },
        },
      ],
    },
  }),
];

const wide = (name: string, color: string) =>
  fixed(name, color, { id: 'custom.lineWidth', value: 2 });
const stepped = { id: 'custom.lineInterpolation', value: 'stepAfter' };
const curveColors = [
  fixed('last step', palette.grey),
  wide('mean', palette.sky),
  fixed('validation', palette.orange, { id: 'custom.lineWidth', value: 2 }, stepped),
];
const iterationColors = [
  fixed('mean', palette.sky),
  fixed('validation', palette.orange, { id: 'custom.show', value: 'points+lines' }),
];

const learning: readonly PanelSource[] = [
  lines({
    title: 'Loss',
    width: 12,
    height: 9,
    unit: 'none',
    field: { min: 0 },
    description:
      'Of the step at each scrape, of all samples since the scrape before (the smooth line), and over the test set. Validation below training is normal with dropout; validation that rises while training falls is overfitting.',
    queries: [
      range('last step', value('train_loss')),
      range('mean', meanLoss),
      range('validation', evaluated(value('validation_loss'))),
    ],
    calcs: ['lastNotNull', 'min'],
    overrides: curveColors,
  }),
  lines({
    title: 'Accuracy',
    width: 12,
    height: 9,
    unit: 'percentunit',
    field: { max: 1 },
    description:
      'Share of right answers: of the step at each scrape, of all samples since the scrape before (the smooth line), and over the test set.',
    queries: [
      range('last step', value('train_accuracy_ratio')),
      range('mean', meanAccuracy),
      range('validation', evaluated(value('validation_accuracy_ratio'))),
    ],
    calcs: ['lastNotNull', 'max'],
    overrides: curveColors,
  }),
  curves({
    title: 'Loss per iteration',
    width: 12,
    height: 8,
    unit: 'none',
    xLabel: 'step',
    description: 'The same against the step, so that pauses and speed do not show.',
    queries: [
      range('step', value('train_step')),
      range('mean', meanLoss),
      range('evaluated step', `${value('validation_step')} > 0`),
      range('validation', evaluated(value('validation_loss'))),
    ],
    pairs: [
      ['step', 'mean'],
      ['evaluated step', 'validation'],
    ],
    overrides: iterationColors,
  }),
  curves({
    title: 'Accuracy per iteration',
    width: 12,
    height: 8,
    unit: 'percentunit',
    xLabel: 'step',
    description: 'The same against the step, so that pauses and speed do not show.',
    queries: [
      range('step', value('train_step')),
      range('mean', meanAccuracy),
      range('evaluated step', `${value('validation_step')} > 0`),
      range('validation', evaluated(value('validation_accuracy_ratio'))),
    ],
    pairs: [
      ['step', 'mean'],
      ['evaluated step', 'validation'],
    ],
    overrides: iterationColors,
  }),
];

const mistakes: readonly PanelSource[] = [
  rows({
    title: 'Confusion matrix',
    width: 14,
    height: 12,
    unit: 'locale',
    description:
      'Test samples by true class (down) and predicted class (across) at the last evaluation. Off the diagonal are mistakes: a dark cell there is a pair of digits that the model takes for each other.',
    queries: [table(lastBy('actual, predicted', 'confusion_matrix_samples'))],
    transformations: [
      { id: 'sortBy', options: { sort: [{ field: 'predicted' }] } },
      {
        id: 'groupingToMatrix',
        options: {
          rowField: 'actual',
          columnField: 'predicted',
          valueField: 'Value',
          emptyValue: 'zero',
        },
      },
      { id: 'sortBy', options: { sort: [{ field: 'actual\\predicted' }] } },
    ],
    field: { color: { mode: 'continuous-blues' } },
    custom: {
      align: 'center',
      cellOptions: { type: 'color-background', mode: 'basic' },
      inspect: false,
    },
    overrides: [
      {
        matcher: { id: 'byName', options: 'actual\\predicted' },
        properties: [{ id: 'custom.cellOptions', value: { type: 'auto' } }],
      },
    ],
  }),
  text(
    {
      title: 'Artifacts',
      width: 10,
      height: 12,
      description: 'Files that the run leaves behind, where the variable Artifacts URL says.',
    },
    [
      'Serve the run directory (`runs/$run/`) with any web server and put its address into **Artifacts URL** above.',
      '',
      '- [Misclassified test images, a line each](${artifacts_url}/artifacts/misclassified.jsonl)',
      '- [The run: settings, state, result](${artifacts_url}/run.json)',
      '- [Curves: a line per step](${artifacts_url}/metrics.jsonl)',
      '- [Events](${artifacts_url}/events.jsonl)',
      '- [Weights](${artifacts_url}/model.safetensors)',
      '',
      "While the run is going on, the coordinator's own page shows the misclassified digits as pictures.",
    ].join('\n'),
  ),
];

const steps: readonly PanelSource[] = [
  lines({
    title: 'Throughput by worker',
    width: 12,
    height: 8,
    unit: 'suffix: samples/s',
    description:
      'Training samples whose gradients counted, per second. The sum is the speed of the run.',
    queries: [range('{{worker}}', rateBy('worker', of('train_samples_total')))],
    custom: { fillOpacity: 25, stacking: { mode: 'normal' } },
    field: { min: 0, decimals: 0 },
    overrides: workerColors,
  }),
  lines({
    title: 'Gradient norm',
    width: 12,
    height: 8,
    unit: 'none',
    field: { min: 0 },
    description:
      'Euclidean norm of the gradient, measured a few times a second. A rise of a power of ten comes before a run diverges; a fall to 0 means that nothing is learnt.',
    queries: [range('norm', value('gradient_norm'))],
    overrides: [fixed('norm', palette.sky)],
  }),
  lines({
    title: 'Steps per second',
    width: 8,
    height: 7,
    unit: 'suffix: steps/s',
    field: { min: 0 },
    description: 'Steps that were done, whole batches of all workers.',
    queries: [range('steps', rate(of('train_steps_total')))],
    overrides: [fixed('steps', palette.sky)],
  }),
  lines({
    title: 'Epoch',
    width: 8,
    height: 7,
    unit: 'none',
    field: { min: 0, decimals: 0 },
    description: 'The epoch of the last step, and how many the run has in all.',
    queries: [range('now', value('epoch')), range('planned', value('epochs_planned'))],
    custom: { lineInterpolation: 'stepAfter' },
    overrides: [fixed('now', palette.sky), fixed('planned', palette.grey)],
  }),
  lines({
    title: 'Learning rate',
    width: 8,
    height: 7,
    unit: 'none',
    field: { min: 0 },
    description: "Adam's learning rate.",
    queries: [range('rate', value('learning_rate'))],
    overrides: [fixed('rate', palette.sky)],
  }),
];

const settings: readonly PanelSource[] = [
  rows({
    title: 'Settings',
    width: 24,
    height: 4,
    unit: 'none',
    description:
      'What the bytes of the run depend on, and what computes them. The term counts the starts of the coordinator; each has a line.',
    queries: [
      table(
        lastBy(
          'version, engine, device, dataset, hidden, batch_size, virtual_shards, seed, term',
          'run_info',
        ),
      ),
    ],
    transformations: [
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true, Value: true },
          renameByName: { batch_size: 'batch size', virtual_shards: 'virtual shards' },
        },
      },
      { id: 'sortBy', options: { sort: [{ field: 'term', desc: true }] } },
    ],
  }),
];

export const training: Plan = {
  uid: 'mnist-dist-training',
  title: 'mnist-dist / Training',
  description: 'How a run learns: accuracy and loss, speed, and what the model takes for what.',
  variables: [
    {
      name: 'artifacts_url',
      label: 'Artifacts URL',
      type: 'textbox',
      query: 'http://127.0.0.1:8000',
    },
  ],
  rows: [
    { title: 'Where the run stands', panels: state },
    { title: 'How it learns', panels: learning },
    { title: 'What it gets wrong', panels: mistakes },
    { title: 'How fast', panels: steps },
    { title: 'What it is', panels: settings },
  ],
};
