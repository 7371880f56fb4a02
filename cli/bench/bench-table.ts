import { count, counted } from '../../shared/text/number-format.ts';
import type { Transport } from './exchange-bench.ts';
import type { KernelName } from './kernel-timing.ts';
import { phaseNames } from './step-phases.ts';
import type { BenchReport } from './bench-report.ts';
import type { Spread } from './statistics.ts';

const kernelTexts: Readonly<Record<KernelName, string>> = {
  mask: 'dropout mask',
  augment: 'augmentation',
  add: 'sum of two gradients',
  adam: 'Adam with checksum',
  check: 'finite check with checksum',
  checksum: 'checksum',
};

const transportTexts: Readonly<Record<Transport, string>> = {
  'shared memory': 'shared memory',
  tcp: 'WebSocket',
  tls: 'WebSocket, TLS',
  'bare tls': "Node's TLS alone",
};

/** The report as text for users, ending with a line break. */
export function benchText(report: BenchReport): string {
  const { machine, model, pairs } = report;
  const shape = [model.inputs, ...model.hidden, model.classes].join('-');
  const title =
    `mnist-dist ${report.version}, model ${shape} (${count(model.parameters)} parameters), ` +
    `Node ${machine.node}, ${machine.processor}, ${machine.cores} cores`;
  const repetitions = pairs === 1 ? 'one repetition' : `${pairs} interleaved repetitions`;
  const sections = [
    title,
    `Medians (min..max) of ${repetitions}`,
    kernelSection(report),
    engineSection(report),
    wireSection(report),
    loopSection(report),
    phaseSection(report),
  ];
  return `${sections.join('\n\n')}\n`;
}

function kernelSection({ kernels, observation, coordinator }: BenchReport): string {
  const rows = kernels.map(({ kernel, batch_size: rowsOfMask, microseconds }) => [
    rowsOfMask === undefined ? kernelTexts[kernel] : `${kernelTexts[kernel]}, batch ${rowsOfMask}`,
    ...spreadCells(microseconds),
  ]);
  const observed = `live page and metrics, ${counted(observation.workers, 'worker')}`;
  rows.push([observed, ...spreadCells(observation.microseconds)]);
  for (const { workers, microseconds } of coordinator)
    rows.push([
      `messages and decisions, ${counted(workers, 'worker')}`,
      ...spreadCells(microseconds),
    ]);
  return [
    "Kernels alone, and the coordinator's own work in a step",
    ...columns([['', 'microseconds', ''], ...rows]),
  ].join('\n');
}

function engineSection({ engines, skipped }: BenchReport): string {
  const head = ['engine', 'batch', 'shards in the call', 'ms', ''];
  const rows = engines.map((each) => [
    each.engine,
    String(each.batch_size),
    `${each.shards} of ${each.virtual_shards}`,
    ...spreadCells(each.milliseconds),
  ]);
  const libraries = [...new Set(engines.map(({ engine, library }) => `${engine}: ${library}`))];
  const left = skipped.map(({ engine, reason }) => `${engine} does not run here: ${reason}`);
  return [
    'Engines alone: one gradient call',
    ...columns([head, ...rows]),
    ...indent([...libraries, ...left]),
  ].join('\n');
}

function wireSection({ wire }: BenchReport): string {
  const rows = wire.map(({ transport, workers, steps_per_second: rate }) => [
    transportTexts[transport],
    String(workers),
    ...spreadCells(rate),
  ]);
  return [
    'Wire alone: weights to every worker and a gradient back, without computing anything',
    ...columns([['over', 'workers', 'steps/s', ''], ...rows]),
  ].join('\n');
}

function loopSection({ loop, engine }: BenchReport): string {
  const head = ['batch', 'workers', 'steps', 'steps/s', '', 'images/s', 'ms a step', ''];
  const rows = loop.map((cell) => [
    String(cell.batch_size),
    workersText(cell),
    String(cell.steps),
    ...spreadCells(cell.steps_per_second),
    count(cell.steps_per_second.median * cell.batch_size),
    ...spreadCells(cell.step_milliseconds),
  ]);
  return [
    `Full loop with the ${engine} engine: runs of \`local\``,
    ...columns([head, ...rows]),
  ].join('\n');
}

function phaseSection({ loop }: BenchReport): string {
  const head = ['batch', 'workers', 'ms a step', 'of the limit', ...phaseNames];
  const rows = loop.map((cell) => [
    String(cell.batch_size),
    workersText(cell),
    digits(cell.step_milliseconds.median),
    `${Math.round(100 * limitShare(cell))} %`,
    ...cell.phases.map(
      ({ milliseconds, share }) => `${digits(milliseconds)} (${Math.round(100 * share)} %)`,
    ),
  ]);
  return [
    'Phases of a step, in ms (derived, since a run does not time its phases)',
    ...columns([head, ...rows]),
    ...indent([
      'step: median in metrics.jsonl; phases: medians from the tables above, each measured alone',
      'gradient: the calls by the worker with the most shards; worker checks: the checksum of the',
      'weights and the check of each gradient; coordinator: the check of each gradient, the sums,',
      'Adam; rest: waiting, shared cores, bookkeeping; below 0 if phases overlap. Workers build',
      'batches and masks while they wait for weights, so that work is not a phase.',
      'of the limit: the phases but rest, one after the other, would be the shortest step',
    ]),
  ].join('\n');
}

/** The step that the measured phases alone would take, as a share of the step. */
function limitShare({ phases }: BenchReport['loop'][number]): number {
  return phases.reduce((sum, { phase, share }) => (phase === 'rest' ? sum : sum + share), 0);
}

/** Workers in excess of the number of shards are idle. */
function workersText({ workers, virtual_shards: shards }: BenchReport['loop'][number]): string {
  return workers <= shards ? String(workers) : `${workers} (${shards} compute)`;
}

function spreadCells({ median, min, max }: Spread): string[] {
  return [digits(median), `(${digits(min)}..${digits(max)})`];
}

/** Three significant digits, or all integer digits if there are more: 1063, 83.2, 0.192. */
export function digits(value: number): string {
  const whole = Math.abs(value) < 1 ? 0 : Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toFixed(Math.min(3, Math.max(0, 3 - whole)));
}

/** Rows as aligned, indented lines; numeric columns are right-aligned. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const width = (column: number) => Math.max(...rows.map((row) => (row[column] ?? '').length));
  const widths = (rows[0] ?? []).map((_, column) => width(column));
  const isNumeric = widths.map((_, column) =>
    rows.slice(1).every((row) => /^[-\d(]/.test(row[column] ?? '')),
  );
  return indent(
    rows.map((row) =>
      row
        .map((cell, i) =>
          isNumeric[i] === true ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    ),
  );
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`);
}
