import { completionTargets } from './completion/completion-targets.ts';
import * as checks from './options/option-checks.ts';
import type { GivenOf } from './options/origin.ts';
import type { CommandLine, CommandName, OptionsOf } from './options/options.ts';
import { recipeNames } from './options/recipe-names.ts';
import { inverted } from './options/synonyms.ts';

/** A word after the command that does not belong to a flag. */
interface Operand {
  readonly name: string;
  readonly help: string;
  readonly isRequired?: boolean;
  /** Whether the operand may be repeated. */
  readonly isRepeated?: boolean;
  /** What a shell offers: words, or the names of files by default. */
  readonly completes?: readonly string[] | 'text';
}

type Example = readonly [line: string, explanation: string];

interface Command<C extends CommandName> {
  /** One line for the help, without a full stop. */
  readonly summary: string;
  readonly operands?: readonly Operand[];
  readonly examples: readonly Example[];
  /** Words for this command in other programs, separated by spaces. */
  readonly synonyms: string;
  /** Whether stdout carries only a log, so that losing some of it is not an error. */
  readonly printsLog?: boolean;
  /** Throw USAGE for options that conflict with each other or refer to missing files. */
  readonly checks?: readonly ((options: OptionsOf<C>, given: GivenOf) => void)[];
  /** Chooses between mutually exclusive options. */
  readonly settle?: (options: OptionsOf<C>, given: GivenOf) => OptionsOf<C>;
  /**
   * Imports the command. Nothing else in this table loads the command's code, so `--help` does not
   * need TensorFlow.
   */
  readonly load: () => Promise<
    (options: OptionsOf<C>, commandLine: CommandLine) => Promise<number>
  >;
}

const newestRun: Operand = {
  name: 'run',
  help: 'run directory (default: the newest run in --runs-dir)',
};

const trainedModel: Operand = {
  name: 'model',
  help:
    'run directory, model.safetensors, or URI of a run in a store ' +
    '(default: the newest finished run in --runs-dir)',
};

/** All commands. The parser, the help and the suggestions are all derived from this table. */
export const commandTable: { readonly [C in CommandName]: Command<C> } = {
  local: {
    summary: 'train on this machine: start a coordinator and workers',
    examples: [
      ['mnist-dist local', 'two workers, five epochs'],
      ['mnist-dist local -n 4 --batch-size 256 --epochs 2', 'four workers, larger batches'],
    ],
    synonyms: 'train training fit run start launch quickstart torchrun resume',
    printsLog: true,
    settle: checks.settleLength,
    checks: [
      checks.checkRunOptions,
      checks.checkModel,
      checks.checkLocal,
      checks.checkListener,
      checks.checkPageHost,
      checks.checkPorts,
    ],
    load: async () => (await import('./commands/local.ts')).local,
  },
  coordinator: {
    summary: 'coordinate a run: plan steps, sum gradients, write the run directory',
    examples: [
      ['mnist-dist coordinator --min-workers 2', 'wait for two workers on this machine'],
      [
        'mnist-dist coordinator --host 0.0.0.0 --ssl-certfile certs/coordinator.crt ' +
          '--ssl-keyfile certs/coordinator.key',
        'accept workers from other machines over TLS; prints the join string for them',
      ],
    ],
    synonyms: 'server serve master leader chief driver head scheduler ps parameter-server',
    printsLog: true,
    settle: checks.settleLength,
    checks: [
      checks.checkRunOptions,
      checks.checkModel,
      checks.checkListener,
      checks.checkPageHost,
      checks.checkPorts,
    ],
    load: async () => (await import('./commands/coordinator.ts')).coordinator,
  },
  data: {
    summary: 'show what a dataset contains: classes, counts, digest, pictures',
    operands: [
      {
        name: 'path',
        help:
          'folder with idx files, CSV files or folders of pictures, or an .npz or .csv file ' +
          '(default: MNIST)',
      },
    ],
    examples: [
      ['mnist-dist data photos --image-size 28', 'as --data photos --image-size 28 would train it'],
      ['mnist-dist data photos --out sheet', 'pictures of each class in sheet/contact-sheet.png'],
    ],
    synonyms: 'dataset datasets inspect look',
    load: async () => (await import('./commands/data.ts')).data,
  },
  model: {
    summary: 'print the layers, shapes and parameters of a model',
    operands: [
      { name: 'model', help: 'mlp, convnet or a YAML file with a list of layers (default: mlp)' },
    ],
    examples: [
      ['mnist-dist model convnet', 'the convolutional network'],
      ['mnist-dist model my-model.yaml', 'a file for --model'],
    ],
    synonyms: 'summary layers architecture describe',
    checks: [checks.checkData],
    load: async () => (await import('./commands/model.ts')).model,
  },
  recipe: {
    summary: "print a recipe's file, or list the recipes",
    operands: [
      {
        name: 'recipe',
        help: `${recipeNames.join(' or ')} (default: list all of them)`,
        completes: recipeNames,
      },
    ],
    examples: [
      ['mnist-dist recipe', 'one line for each recipe'],
      ['mnist-dist recipe best > mine.yaml', 'a file to change, for --config mine.yaml'],
    ],
    synonyms: 'recipes preset presets profile profiles',
    load: async () => {
      const { recipe } = await import('./commands/recipe.ts');
      return async (_options, commandLine) => await recipe(commandLine);
    },
  },
  worker: {
    summary: 'compute gradients for a coordinator',
    examples: [
      ['mnist-dist worker', 'join a coordinator on this machine'],
      ['mnist-dist worker --join -', 'join a coordinator on another machine'],
    ],
    synonyms: 'join client agent node slave replica compute',
    printsLog: true,
    checks: [checks.checkWorkerOptions],
    load: async () => (await import('./commands/worker.ts')).worker,
  },
  show: {
    summary: "serve a recorded run's page",
    operands: [newestRun],
    examples: [['mnist-dist show runs/ID', 'the page as it looked while the run was training']],
    synonyms: 'view watch open ui page dashboard',
    printsLog: true,
    checks: [checks.checkData, checks.checkPageHost],
    load: async () => (await import('./commands/show.ts')).show,
  },
  verify: {
    summary: 'recompute a run and compare every step with its record',
    operands: [newestRun],
    examples: [
      ['mnist-dist verify', 'the newest run, with two workers'],
      ['mnist-dist verify runs/ID -n 4 --from 5000', 'start at a checkpoint, with four workers'],
    ],
    synonyms: 'replay reproduce validate audit',
    checks: [checks.checkData],
    load: async () => (await import('./commands/verify.ts')).verify,
  },
  eval: {
    summary: 'evaluate a model on a test set: accuracy, confusion matrix, mistakes',
    operands: [trainedModel],
    examples: [
      ['mnist-dist eval', 'the newest finished run, on its test set'],
      ['mnist-dist eval runs/ID --format json --fail-under 0.97', 'for a pipeline'],
    ],
    synonyms: 'evaluate evaluation test score accuracy',
    checks: [checks.checkData, checks.checkToken, checks.checkListener, checks.checkOut],
    load: async () => (await import('./commands/eval.ts')).evaluate,
  },
  predict: {
    summary: 'predict which digit each picture shows',
    operands: [
      {
        name: 'image',
        help: 'PNG or JPEG with one digit, dark on light or light on dark',
        isRequired: true,
        isRepeated: true,
      },
    ],
    examples: [
      ['mnist-dist predict seven.png', "with the newest finished run's model"],
      ['mnist-dist predict *.png --model runs/ID --format json', 'with a chosen model, as JSON'],
    ],
    synonyms: 'infer inference classify recognise recognize',
    checks: [checks.checkData],
    settle: checks.settlePredict,
    load: async () => (await import('./commands/predict.ts')).predict,
  },
  export: {
    summary: 'write a model as ONNX, SavedModel, TensorFlow.js, Keras or PyTorch weights',
    operands: [trainedModel],
    examples: [
      ['mnist-dist export --to onnx', 'the newest finished run, to runs/ID/export/model.onnx'],
      ['mnist-dist export runs/ID --to keras --out models', 'a chosen run, to models/model.keras'],
    ],
    synonyms: 'convert save-model onnx savedmodel tfjs keras torch',
    checks: [checks.checkData],
    load: async () => (await import('./commands/export.ts')).exportModel,
  },
  runs: {
    summary: 'list the runs in a folder, newest first',
    examples: [['mnist-dist runs', 'state, steps, accuracy and duration of each run']],
    synonyms: 'ls list history status ps-runs',
    load: async () => (await import('./commands/runs.ts')).runs,
  },
  compare: {
    summary: 'print several runs next to each other, and where equal recipes part',
    operands: [{ name: 'run', help: 'run directory', isRequired: true, isRepeated: true }],
    examples: [
      ['mnist-dist compare runs/ID runs/OTHER', 'results, and the settings that differ'],
      ['mnist-dist compare runs/* --format csv', 'for a spreadsheet'],
    ],
    synonyms: 'diff versus vs',
    load: async () => (await import('./commands/compare.ts')).compare,
  },
  board: {
    summary: 'serve a page with all runs of a folder, and curves over each other',
    examples: [
      ['mnist-dist board', 'the runs in runs/, also while they train'],
      ['mnist-dist board --runs-dir sweeps --http-port 0', 'another folder, on a free port'],
    ],
    synonyms: 'tensorboard wandb mlflow leaderboard overview',
    printsLog: true,
    checks: [checks.checkData, checks.checkPageHost],
    load: async () => (await import('./commands/board.ts')).board,
  },
  sweep: {
    summary: 'train a run for each combination of options, and show which options mattered',
    operands: [
      {
        name: 'file',
        help: 'YAML file, such as "vary: {seed: [1, 2, 3]}"; docs/guide/sweeps.md describes it',
        isRequired: true,
      },
    ],
    examples: [
      ['mnist-dist sweep rates.yaml', 'all trials, into runs/rates; again: continue it'],
      ['mnist-dist sweep rates.yaml -n 4 --format csv', 'four workers; a table for a spreadsheet'],
    ],
    synonyms: 'tune tuning hyperparameters search grid gridsearch optuna',
    load: async () => (await import('./commands/sweep.ts')).sweep,
  },
  push: {
    summary: "upload a run's results to an artifacts store",
    operands: [
      { name: 'run', help: 'run directory', isRequired: true },
      {
        name: 'uri',
        help: 'store: file:DIR or s3://BUCKET/PREFIX; the run gets a folder named after its id',
        completes: 'text',
        isRequired: true,
      },
    ],
    examples: [
      ['mnist-dist push runs/ID file:/srv/results', 'to /srv/results/ID'],
      [
        'AWS_ENDPOINT_URL=http://127.0.0.1:9000 mnist-dist push runs/ID s3://bucket/mnist',
        'to an S3-compatible store outside AWS',
      ],
    ],
    synonyms: 'upload publish',
    load: async () => (await import('./commands/push.ts')).push,
  },
  pull: {
    summary: 'download a run from an artifacts store',
    operands: [
      {
        name: 'uri',
        help: 'the run in its store: file:DIR/ID or s3://BUCKET/PREFIX/ID',
        completes: 'text',
        isRequired: true,
      },
      { name: 'dir', help: 'run directory to create (default: the run id, in --runs-dir)' },
    ],
    examples: [['mnist-dist pull s3://bucket/mnist/ID', 'into runs/ID']],
    synonyms: 'download fetch import',
    load: async () => (await import('./commands/pull.ts')).pull,
  },
  dashboards: {
    summary: 'write Grafana dashboards for import',
    examples: [
      ['mnist-dist dashboards --out grafana', 'three files for Dashboards > New > Import'],
    ],
    synonyms: 'grafana',
    load: async () => (await import('./commands/dashboards.ts')).dashboards,
  },
  certs: {
    summary: 'create a private certificate authority and a certificate for a coordinator',
    operands: [
      {
        name: 'name',
        help: 'DNS name or IP address at which workers reach the coordinator',
        completes: 'text',
        isRequired: true,
        isRepeated: true,
      },
    ],
    examples: [
      ['mnist-dist certs 10.0.0.5 gpu0.example.org', 'for a machine with this address and name'],
    ],
    synonyms: 'cert certificate certificates tls ssl ca keygen',
    load: async () => (await import('./commands/certs.ts')).certs,
  },
  setup: {
    summary: 'download and build the TensorFlow engine',
    examples: [['mnist-dist setup --gpu', 'TensorFlow with CUDA']],
    synonyms: 'install init prepare build',
    settle: checks.settleDevice,
    load: async () => (await import('./commands/setup.ts')).setup,
  },
  doctor: {
    // Options that a run would reject appear as rows in doctor's table, not as errors.
    summary: 'check whether this machine can train; print a fix for each failed check',
    examples: [['mnist-dist doctor', 'a table of checks']],
    synonyms: 'check diagnose diagnostics info env health',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  completion: {
    summary: 'print a script that completes commands and options in a shell',
    operands: [
      {
        name: 'shell',
        help: "bash, zsh or fish; config: a JSON Schema of --config's file, for editors",
        isRequired: true,
        completes: completionTargets,
      },
    ],
    examples: [
      ['source <(mnist-dist completion bash)', 'in ~/.bashrc'],
      ['mnist-dist completion fish | source', 'in ~/.config/fish/config.fish'],
    ],
    synonyms: 'completions complete autocomplete shell schema',
    load: async () => {
      const { completion } = await import('./commands/completion.ts');
      const commands = commandNames.map((name) => ({ ...commandTable[name], name }));
      return async (_options, commandLine) => await completion(commandLine, commands);
    },
  },
  bench: {
    summary: 'measure the engines, the wire, the kernels and the training loop',
    examples: [['mnist-dist bench --batch-sizes 32 --workers 1,2', 'a small grid']],
    synonyms: 'benchmark benchmarks perf profile measure',
    load: async () => (await import('./commands/bench.ts')).bench,
  },
};

function isCommandName(text: string): text is CommandName {
  return Object.hasOwn(commandTable, text);
}

export const commandNames: readonly CommandName[] = Object.keys(commandTable).filter(isCommandName);

export const commandSynonyms = inverted(
  Object.fromEntries(commandNames.map((name) => [name, commandTable[name].synonyms])),
);
