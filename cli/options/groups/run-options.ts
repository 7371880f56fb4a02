import * as limits from '../../../shared/limits.ts';
import { trainingCommands, withDefault, withoutDefault } from '../option.ts';
import { recipeNames } from '../recipe-names.ts';
import { recipeSynonyms } from '../synonyms.ts';
import {
  choice,
  decimal,
  flag,
  imageSize,
  integer,
  name,
  path,
  stepsOrDuration,
} from '../value-types.ts';

export const runOptions = {
  config: withoutDefault(path('FILE', 'a readable YAML file'), {
    in: 'all',
    help: 'YAML file with options, one "name: value" per line; one file can serve all commands',
  }),
  recipe: withDefault(choice(recipeNames, recipeSynonyms), 'quickstart', {
    in: trainingCommands,
    help: 'settings that take the place of the defaults; `mnist-dist recipe` prints them',
  }),
  runsDir: withDefault(path('DIR', 'a folder'), 'runs', {
    in: [
      'local',
      'coordinator',
      'show',
      'verify',
      'eval',
      'predict',
      'export',
      'runs',
      'compare',
      'board',
      'sweep',
      'pull',
      'doctor',
    ],
    help: 'folder for run directories; created if missing',
  }),
  runId: withoutDefault(name('a folder name'), {
    in: [...trainingCommands, 'sweep'],
    help:
      'name of the run directory (default: date, time and four random hexadecimal digits; ' +
      "sweep: name of the sweep's folder; default: the name of its file)",
  }),
  stopAfter: withoutDefault(integer({ min: 1, max: limits.MAX_EPOCHS }), {
    in: ['sweep'],
    help:
      'from this epoch on, stop a trial whose best validation accuracy is below the median of ' +
      'earlier trials at the same epoch (default: no trial is stopped)',
  }),
  resume: withoutDefault(
    {
      ...path('RUN', 'a run directory, or no value for the newest unfinished run'),
      bare: 'newest',
    },
    {
      in: trainingCommands,
      help:
        'resume a run (without RUN: the newest unfinished one); --epochs and --steps may be ' +
        'raised, but other options that affect the result must not change',
    },
  ),
  checkpointEvery: withDefault(
    stepsOrDuration({ min: 1, max: limits.MAX_STEPS }),
    { milliseconds: 1000 * limits.DEFAULT_CHECKPOINT_SECONDS },
    { in: trainingCommands, help: 'checkpoint interval, in steps or time' },
  ),
  keep: withDefault(
    integer({ min: 1, max: limits.MAX_KEPT_CHECKPOINTS }),
    limits.DEFAULT_KEPT_CHECKPOINTS,
    { in: trainingCommands, help: 'number of checkpoints to keep' },
  ),
  takeOver: withDefault(flag, false, {
    in: trainingCommands,
    help: 'resume a run even if a coordinator on another host holds its lock',
  }),
  data: withoutDefault(path('DIR|FILE', 'a folder with a dataset, or an .npz or .csv file'), {
    in: [
      'local',
      'coordinator',
      'model',
      'show',
      'board',
      'verify',
      'eval',
      'predict',
      'export',
      'doctor',
    ],
    help:
      'a different dataset, as idx files, mnist.npz, CSV or folders of pictures ' +
      "(default: the run's dataset; for a new run, the MNIST package)",
  }),
  imageSize: withoutDefault(imageSize, {
    in: ['local', 'coordinator', 'data', 'model', 'eval', 'doctor'],
    help: 'make every picture of --data this size, in pixels',
  }),
  testSplit: withoutDefault(
    decimal('a number above 0, below 1', (x) => x > 0 && x < 1),
    {
      in: ['local', 'coordinator', 'data', 'model', 'eval', 'doctor'],
      help: 'fraction at the end of the training set that is the test set, if --data has none',
    },
  ),
  model: withoutDefault(
    path(
      'NAME|FILE|RUN|URI',
      'mlp, convnet or a YAML file with a list of layers; predict: a run directory, a ' +
        'model.safetensors file, or the URI of a run in a store',
    ),
    {
      in: ['local', 'coordinator', 'model', 'predict'],
      help:
        'layers to train: mlp, convnet or a YAML file (default: mlp); predict: model to predict ' +
        'with (default: the newest finished run in --runs-dir)',
    },
  ),
  init: withoutDefault(
    path('FILE|RUN', 'a model.safetensors file, a run directory, or the URI of a run in a store'),
    {
      in: trainingCommands,
      help: 'begin with the weights of this model (default: with weights that --seed draws)',
    },
  ),
  from: withoutDefault(integer({ min: 1, max: limits.MAX_STEPS }, 'STEP'), {
    in: ['verify'],
    help:
      'start from the newest checkpoint at or before this step and trust it ' +
      '(default: start from the beginning)',
  }),
  split: withDefault(choice(['test', 'train'], { training: 'train' }), 'test', {
    in: ['eval'],
    help: 'part of the dataset to evaluate',
  }),
  seed: withDefault(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), 1, {
    in: trainingCommands,
    help: 'seed for the sample order, the dropout and the initial weights',
  }),
};
