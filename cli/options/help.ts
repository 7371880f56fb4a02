import type { ErrorCode } from '../../shared/errors.ts';
import { errorCodes, errorTable } from '../../shared/errors.ts';
import type { CommandName } from './options.ts';

const examples: Readonly<Record<CommandName, readonly (readonly [line: string, what: string])[]>> =
  {
    local: [
      ['mnist-dist local', 'two workers, five epochs'],
      ['mnist-dist local -n 4 --batch-size 256 --epochs 2', 'four workers, larger batches'],
    ],
    coordinator: [
      ['mnist-dist coordinator --min-workers 2', 'workers of this machine'],
      [
        'mnist-dist coordinator --host 0.0.0.0 --ssl-certfile certs/coordinator.crt --ssl-keyfile certs/coordinator.key',
        'workers of other machines, over TLS; it prints the string with which they join',
      ],
    ],
    worker: [
      ['mnist-dist worker', 'a coordinator on this machine'],
      ['mnist-dist worker --join -', 'one on another machine'],
    ],
    verify: [
      ['mnist-dist verify', 'the newest run, with two workers'],
      ['mnist-dist verify runs/ID -n 4 --from 5000', 'from a checkpoint on, with four workers'],
    ],
    eval: [
      ['mnist-dist eval', 'the newest finished run, on its test set'],
      ['mnist-dist eval runs/ID --format json --fail-under 0.97', 'for a pipeline'],
    ],
    predict: [
      ['mnist-dist predict seven.png', 'ask the model of the newest finished run'],
      ['mnist-dist predict *.png --model runs/ID --format json', 'ask another one, for machines'],
    ],
    runs: [['mnist-dist runs', 'state, steps, accuracy and time of each']],
    push: [
      ['mnist-dist push runs/ID file:/srv/results', 'into /srv/results/ID'],
      [
        'AWS_ENDPOINT_URL=http://127.0.0.1:9000 mnist-dist push runs/ID s3://bucket/mnist',
        "a server of S3 that is not Amazon's",
      ],
    ],
    pull: [['mnist-dist pull s3://bucket/mnist/ID', 'into runs/ID']],
    certs: [
      [
        'mnist-dist certs 10.0.0.5 gpu0.example.org',
        'for a coordinator on a machine with this address and this name',
      ],
    ],
    dashboards: [
      ['mnist-dist dashboards --out grafana', 'three files for Dashboards > New > Import'],
    ],
    show: [['mnist-dist show runs/ID', 'a run that is over, as it looked to who watched it']],
    setup: [['mnist-dist setup --gpu', 'TensorFlow with CUDA']],
    doctor: [['mnist-dist doctor', 'a table of what works here']],
    bench: [['mnist-dist bench --batch-sizes 32 --workers 1,2', 'a small grid']],
  };

/** What stands below the list of commands: examples, where values come from, exit codes. */
export function programHelp(): string {
  const lines = [
    ...examples.local.slice(0, 1),
    ...examples.coordinator,
    ...examples.worker,
    ...examples.verify.slice(0, 1),
    ...examples.eval.slice(0, 1),
    ...examples.doctor,
  ];
  return [
    '',
    ...exampleLines(lines),
    '',
    valueSources(),
    '',
    'Exit codes:',
    ...exitCodeLines(),
  ].join('\n');
}

export function commandHelp(command: CommandName): string {
  return ['', ...exampleLines(examples[command]), '', valueSources()].join('\n');
}

function exampleLines(lines: readonly (readonly [string, string])[]): string[] {
  return ['Examples:', ...lines.map(([line, what]) => `  $ ${line}\n      ${what}`)];
}

function valueSources(): string {
  return [
    'Every option may also be set as a variable (--batch-size: MNIST_DIST_BATCH_SIZE) or as a key of the --config',
    'file (batch-size: 64). Flag beats variable, variable beats file, file beats default.',
  ].join('\n');
}

/** Exit codes in rising order. */
export function exitCodes(): { code: ErrorCode; exit: number; meaning: string }[] {
  return errorCodes
    .map((code) => ({ code, exit: errorTable[code].exit, meaning: errorTable[code].meaning }))
    .toSorted((a, b) => a.exit - b.exit);
}

function exitCodeLines(): string[] {
  const rows = [{ exit: 0, meaning: 'The command did what was asked.' }, ...exitCodes()];
  return rows.map(({ exit, meaning }) => `  ${String(exit).padStart(3)}  ${meaning}`);
}
