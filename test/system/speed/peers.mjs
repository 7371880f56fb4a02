// `npm run bench:peers`: trains the same model with PyTorch, TensorFlow and mnist-dist, one after
// the other, and prints steps per second as a table. It installs the frameworks into
// .mnist-dist/peers. Each process computes on one thread. Options, with their defaults:
//   --batch 32,64,256,1024   --processes 1,2,4   --hidden 128   --rounds 5   --seconds 4
// --convnet measures that model instead of dense layers of the widths in --hidden.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';
import { median, numbers, run, trainWith } from './runs.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const python = join(root, '.mnist-dist', 'peers', 'bin', 'python');
/** Steps of the first trial. */
const FEWEST_STEPS = 20;

process.exitCode = await comparePeers().catch((error) => explain(error));

async function comparePeers() {
  const { values } = parseArgs({
    options: {
      batch: { type: 'string', default: '32,64,256,1024' },
      processes: { type: 'string', default: '1,2,4' },
      hidden: { type: 'string', default: '128' },
      convnet: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
    },
  });
  await prepare();
  if (spawnSync(join(here, 'install.sh'), { stdio: 'inherit' }).status !== 0) return 1;
  const scratch = mkdtempSync(join(tmpdir(), 'mnist-dist-peers-'));
  try {
    const data = await writeDataset(scratch);
    const cells = cellsOf(numbers(values.batch), numbers(values.processes));
    const { hidden, convnet } = values;
    const results = [];
    for (const cell of cells)
      results.push(await measureCell({ ...cell, hidden, convnet, data, scratch }, values));
    process.stdout.write(tableOf(results, values));
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function cellsOf(batches, counts) {
  return batches.flatMap((batch) => counts.map((processes) => ({ batch, processes })));
}

/** The programs to compare in a cell, by the name in the table. */
function programsOf({ processes, convnet }) {
  const torch = processes === 1 ? 'PyTorch' : 'PyTorch DDP';
  const keras = processes === 1 ? 'Keras fit' : 'MultiWorkerMirrored';
  const programs = { [torch]: runTorch, [keras]: runKeras, 'mnist-dist': runOurs };
  if (!convnet) return programs;
  const layout = 'channels_last';
  return { [`${torch}, ${layout}`]: (cell) => runTorch(cell, ['--channels-last']), ...programs };
}

async function measureCell(cell, { rounds, seconds }) {
  const programs = Object.entries(programsOf(cell));
  const measured = Object.fromEntries(programs.map(([name]) => [name, []]));
  const steps = {};
  for (const [name, run] of programs) {
    steps[name] = FEWEST_STEPS;
    // The second trial is long enough for code that is compiled while it runs.
    for (const wanted of [1, Number(seconds)]) {
      const { stepsPerSecond } = await run({ ...cell, steps: steps[name] });
      steps[name] = Math.max(FEWEST_STEPS, Math.ceil(stepsPerSecond * wanted));
    }
  }
  for (let round = 0; round < Number(rounds); round++) {
    // Programs alternate, so that a change of the machine's speed affects all of them.
    const order = round % 2 === 0 ? programs : programs.toReversed();
    for (const [name, run] of order) {
      const result = await run({ ...cell, steps: steps[name] });
      measured[name].push(result);
      process.stderr.write(
        `batch ${cell.batch}, ${cell.processes} processes, ${name}: ` +
          `${Math.round(result.stepsPerSecond)} steps/s\n`,
      );
    }
  }
  return { ...cell, measured };
}

async function runTorch(cell, options = []) {
  const launcher =
    cell.processes === 1
      ? []
      : ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', `${cell.processes}`];
  const output = await run(python, [
    ...launcher,
    join(here, 'ddp.py'),
    ...argumentsOf(cell),
    ...options,
  ]);
  return resultOf(output);
}

async function runKeras(cell) {
  const program = [join(here, 'keras_fit.py'), ...argumentsOf(cell)];
  if (cell.processes === 1) return resultOf(await run(python, program));
  const worker = await Promise.all(
    Array.from({ length: cell.processes }, async () => `127.0.0.1:${await freePort()}`),
  );
  const outputs = await Promise.all(
    worker.map((_, index) => {
      const task = { cluster: { worker }, task: { type: 'worker', index } };
      return run(python, program, { TF_CONFIG: JSON.stringify(task) });
    }),
  );
  return resultOf(outputs[0] ?? '');
}

async function runOurs({ hidden, convnet, scratch, ...cell }) {
  const options = [convnet ? '--model=convnet' : `--hidden=${hidden}`];
  return await trainWith(root, scratch, { ...cell, options });
}

function argumentsOf({ batch, hidden, convnet, steps, data }) {
  const model = convnet ? ['--convnet'] : ['--hidden', hidden];
  return ['--data', data, '--batch', `${batch}`, '--steps', `${steps}`, ...model];
}

function resultOf(output) {
  const line = output.split('\n').findLast((text) => text.startsWith('{'));
  const { steps_per_second: stepsPerSecond, version } = JSON.parse(line ?? '{}');
  return { stepsPerSecond, version };
}

/** MNIST's training set as idx files, which all programs read. */
async function writeDataset(scratch) {
  const { loadDataset } = await import('../../../dist/shared/dataset/load-dataset.js');
  const { train } = await loadDataset(undefined);
  const head = (...words) => {
    const bytes = Buffer.alloc(4 * words.length);
    words.forEach((word, i) => bytes.writeUInt32BE(word, 4 * i));
    return bytes;
  };
  const images = Buffer.concat([head(0x803, train.samples, 28, 28), train.images]);
  writeFileSync(join(scratch, 'train-images-idx3-ubyte'), images);
  const labels = Buffer.concat([head(0x801, train.samples), train.labels]);
  writeFileSync(join(scratch, 'train-labels-idx1-ubyte'), labels);
  return scratch;
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A table in Markdown: medians with the least and the greatest value, and ratios of medians. */
function tableOf(results, { hidden, convnet, rounds }) {
  const versions = new Map();
  const rows = results.flatMap(({ batch, processes, measured }) => {
    const ours = median(measured['mnist-dist'].map(({ stepsPerSecond }) => stepsPerSecond));
    return Object.entries(measured).map(([name, runs]) => {
      const rates = runs.map(({ stepsPerSecond }) => stepsPerSecond);
      versions.set(name, runs[0]?.version);
      const spread = `${Math.round(Math.min(...rates))} to ${Math.round(Math.max(...rates))}`;
      const ratio = name === 'mnist-dist' ? '' : (ours / median(rates)).toFixed(2);
      const cells = [batch, processes, name, Math.round(median(rates)), spread, ratio];
      return `| ${cells.join(' | ')} |`;
    });
  });
  const model = convnet ? 'convnet' : `784-${hidden.replaceAll(',', '-')}-10`;
  const listed = [...versions].map(([name, version]) => `${name} ${version}`).join(', ');
  return [
    `Model ${model}, ${cpus()[0]?.model.trim()}, ` +
      `${cpus().length} cores, Node ${process.version}; ${listed}.`,
    `Medians of ${rounds} interleaved runs, one thread a process.`,
    '',
    '| batch | processes | program | steps/s | least to greatest | mnist-dist / program |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
