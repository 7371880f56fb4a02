import type { Plan } from './layout.ts';
import { fixed, palette, workerColors } from './palette.ts';
import { curves, lines, rows, stat, text, type PanelSource } from './panels.ts';
import { lastBy, of, range, rate, rateBy, table, value, valueBy } from './queries.ts';

const samplesRate = rate(of('train_samples_total'));
const meanLoss = `${rate(of('train_loss_sum_total'))} / ${samplesRate}`;
const meanAccuracy = `${rate(of('train_correct_total'))} / ${samplesRate}`;
/** Per set (test, validation); undefined before the first evaluation of the set. */
const evaluatedStep = `${valueBy('set', 'evaluation_step')} > 0`;
const evaluated = (name: 'evaluation_loss' | 'evaluation_accuracy_ratio'): string =>
  `${valueBy('set', name)} and ${evaluatedStep}`;

const state: readonly PanelSource[] = [
  stat({
    title: 'Accuracy',
    unit: 'percentunit',
    field: { decimals: 2 },
    shows: 'value_and_name',
    description:
      'Accuracy at the last evaluation, with the set. After each epoch, that is the validation ' +
      'set if the run has one, otherwise the test set.',
    queries: [range('{{set}}', evaluated('evaluation_accuracy_ratio'))],
  }),
  stat({
    title: 'Training loss',
    unit: 'none',
    field: { decimals: 4 },
    description:
      'Mean loss over all samples in the last interval, computed with dropout and before the ' +
      'update of each step.',
    queries: [range('mean', meanLoss)],
  }),
  stat({
    title: 'Progress',
    unit: 'percentunit',
    graph: 'none',
    field: { decimals: 1 },
    description: 'Completed steps as a share of all steps.',
    queries: [range('steps', `${value('train_step')} / ${value('steps_planned')}`)],
  }),
  stat({
    title: 'Time left',
    unit: 's',
    graph: 'none',
    field: { decimals: 0 },
    description: 'Time for the remaining steps at the current speed.',
    queries: [
      range(
        'left',
        `(${value('steps_planned')} - ${value('train_step')}) / ${rate(of('train_steps_total'))}`,
      ),
    ],
  }),
  stat({
    title: 'Samples per second',
    unit: 'locale',
    field: { decimals: 0 },
    description: 'Training samples per second whose gradients were used, over all workers.',
    queries: [range('samples', samplesRate)],
  }),
  stat({
    title: 'State',
    unit: 'none',
    graph: 'none',
    description:
      'Shows "training" while steps are being computed. Otherwise, the run is waiting for ' +
      'workers or has ended; the panel "Progress" shows which.',
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
  fixed('test', palette.orange, { id: 'custom.lineWidth', value: 2 }, stepped),
  fixed('validation', palette.purple, { id: 'custom.lineWidth', value: 2 }, stepped),
];
const iterationColors = [
  fixed('mean', palette.sky),
  fixed('test', palette.orange, { id: 'custom.show', value: 'points+lines' }),
  fixed('validation', palette.purple, { id: 'custom.show', value: 'points+lines' }),
];
/** The pairs of the panels per iteration; a set that was not evaluated has none. */
const iterationPairs = [
  ['step', 'mean'],
  ['test step', 'test'],
  ['validation step', 'validation'],
] as const;

const learning: readonly PanelSource[] = [
  lines({
    title: 'Loss',
    width: 12,
    height: 9,
    unit: 'none',
    field: { min: 0 },
    description:
      'The loss of the step at each scrape, the mean over all samples since the previous scrape ' +
      '(the smooth line), and the loss on the evaluated set. A loss on that set below the ' +
      'training loss is normal with dropout. One that rises while the training loss falls is a ' +
      'sign of overfitting.',
    queries: [
      range('last step', value('train_loss')),
      range('mean', meanLoss),
      range('{{set}}', evaluated('evaluation_loss')),
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
      'The accuracy of the step at each scrape, the mean over all samples since the previous ' +
      'scrape (the smooth line), and the accuracy on the evaluated set.',
    queries: [
      range('last step', value('train_accuracy_ratio')),
      range('mean', meanAccuracy),
      range('{{set}}', evaluated('evaluation_accuracy_ratio')),
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
    description:
      'The loss plotted against the step, so that pauses and changes in speed are not visible.',
    queries: [
      range('step', value('train_step')),
      range('mean', meanLoss),
      range('{{set}} step', evaluatedStep),
      range('{{set}}', evaluated('evaluation_loss')),
    ],
    pairs: iterationPairs,
    overrides: iterationColors,
  }),
  curves({
    title: 'Accuracy per iteration',
    width: 12,
    height: 8,
    unit: 'percentunit',
    xLabel: 'step',
    description:
      'The accuracy plotted against the step, so that pauses and changes in speed are not ' +
      'visible.',
    queries: [
      range('step', value('train_step')),
      range('mean', meanAccuracy),
      range('{{set}} step', evaluatedStep),
      range('{{set}}', evaluated('evaluation_accuracy_ratio')),
    ],
    pairs: iterationPairs,
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
      'Samples of the set that was evaluated last, by true class (rows) and predicted class ' +
      '(columns). Cells off the diagonal are mistakes: a dark one marks a pair of classes that ' +
      'the model confuses.',
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
      description: "Links to the run's files at the address in the variable Artifacts URL.",
    },
    [
      'Serve the run directory (`runs/$run/`) with any web server and enter its address as ' +
        '**Artifacts URL** above.',
      '',
      '- [Misclassified test images, one per line](${artifacts_url}/artifacts/misclassified.jsonl)',
      '- [Settings, state and result](${artifacts_url}/run.json)',
      '- [Metrics, one line per step](${artifacts_url}/metrics.jsonl)',
      '- [Events](${artifacts_url}/events.jsonl)',
      '- [Weights](${artifacts_url}/model.safetensors)',
      '',
      "During the run, the coordinator's live page shows the misclassified digits as pictures.",
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
      "Training samples per second whose gradients were used. The sum is the run's speed.",
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
      'Euclidean norm of the gradient, measured a few times per second. A tenfold rise ' +
      'usually precedes divergence; a fall to 0 means that the model no longer learns.',
    queries: [range('norm', value('gradient_norm'))],
    overrides: [fixed('norm', palette.sky)],
  }),
  lines({
    title: 'Steps per second',
    width: 8,
    height: 7,
    unit: 'suffix: steps/s',
    field: { min: 0 },
    description: 'Completed steps per second. Each step is one batch, divided among all workers.',
    queries: [range('steps', rate(of('train_steps_total')))],
    overrides: [fixed('steps', palette.sky)],
  }),
  lines({
    title: 'Epoch',
    width: 8,
    height: 7,
    unit: 'none',
    field: { min: 0, decimals: 0 },
    description: 'The epoch of the last step, and the total number of epochs.',
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
    description: "Learning rate of the last step, before Adam's bias correction.",
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
      "The settings that determine the run's bytes, and the engine. The term counts the " +
      "coordinator's starts; each start has its own row.",
    queries: [
      table(
        lastBy(
          'version, engine, device, dataset, model, batch_size, virtual_shards, seed, term',
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
  description: "A run's training: accuracy, loss, speed and confusions.",
  variables: [
    {
      name: 'artifacts_url',
      label: 'Artifacts URL',
      type: 'textbox',
      query: 'http://127.0.0.1:8000',
    },
  ],
  rows: [
    { title: 'Status', panels: state },
    { title: 'Learning curves', panels: learning },
    { title: 'Mistakes', panels: mistakes },
    { title: 'Speed', panels: steps },
    { title: 'Settings', panels: settings },
  ],
};
