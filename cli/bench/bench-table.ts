import type { Transport } from './exchange-bench.ts';
import type { KernelName } from './kernel-timing.ts';
import { phaseNames } from './step-phases.ts';
import type { BenchReport } from './bench-report.ts';
import type { Spread } from './statistics.ts';

const kernelTexts: Readonly<Record<KernelName, string>> = {
  mask: 'dropout mask',
  add: 'sum of two gradients',
  adam: 'Adam with checksum',
  check: 'finite check with checksum',
  checksum: 'checksum',
};

const transportTexts: Readonly<Record<Transport, string>> = {
  tcp: 'WebSocket',
  tls: 'WebSocket, TLS',
  'bare tls': "Node's TLS alone",
};

/** The report as text for people, with a last line break. */
export function benchText(report: BenchReport): string {
  const { machine, model, pairs } = report;
  const shape = [model.inputs, ...model.hidden, model.classes].join('-');
  const title =
    `mnist-dist ${report.version}, model ${shape} (${model.parameters.toLocaleString('en-US')} parameters), ` +
    `Node ${machine.node}, ${machine.processor}, ${machine.cores} cores`;
  const repetitions = pairs === 1 ? 'one repetition' : `${pairs} interleaved repetitions`;
  const sections = [kernelSection(report), engineSection(report), wireSection(report)];
  return `${[title, `Medians (min..max) of ${repetitions}`, ...sections, loopSection(report), phaseSection(report)].join('\n\n')}\n`;
}

function kernelSection({ kernels, observation }: BenchReport): string {
  const rows = kernels.map(({ kernel, batch_size: rowsOfMask, microseconds }) => [
    rowsOfMask === undefined ? kernelTexts[kernel] : `${kernelTexts[kernel]}, batch ${rowsOfMask}`,
    ...spreadCells(microseconds),
  ]);
  const watching = `watching a step of ${observation.workers} workers`;
  rows.push([watching, ...spreadCells(observation.microseconds)]);
  return [
    'Kernels alone, and what it takes to be watched',
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
    'Wire alone: weights to every worker, a gradient back, nothing computed',
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
    Math.round(cell.steps_per_second.median * cell.batch_size).toLocaleString('en-US'),
    ...spreadCells(cell.step_milliseconds),
  ]);
  return [
    `Full loop with the ${engine} engine: runs of \`local\``,
    ...columns([head, ...rows]),
  ].join('\n');
}

function phaseSection({ loop }: BenchReport): string {
  const head = ['batch', 'workers', 'ms a step', ...phaseNames];
  const rows = loop.map((cell) => [
    String(cell.batch_size),
    workersText(cell),
    digits(cell.step_milliseconds.median),
    ...cell.phases.map(
      ({ milliseconds, share }) => `${digits(milliseconds)} (${Math.round(100 * share)} %)`,
    ),
  ]);
  return [
    'Where a step goes, in ms: derived, since a run does not time its phases',
    ...columns([head, ...rows]),
    ...indent([
      'a step: median in metrics.jsonl; the pieces: medians of the tables above, each measured alone',
      'gradient: the calls of the worker with most shards; worker checks: checksum of the weights, check of its gradients',
      'coordinator: a check for each gradient, the sums, Adam; rest: waiting, shared cores, bookkeeping. It is below 0',
      'where pieces overlap. Batches and masks are built while the weights are awaited, so they are no piece.',
    ]),
  ].join('\n');
}

/** More workers than shards stand by. */
function workersText({ workers, virtual_shards: shards }: BenchReport['loop'][number]): string {
  return workers <= shards ? String(workers) : `${workers} (${shards} compute)`;
}

function spreadCells({ median, min, max }: Spread): string[] {
  return [digits(median), `(${digits(min)}..${digits(max)})`];
}

/** Three significant digits, but never fewer than the whole number: 1063, 83.2, 0.192. */
export function digits(value: number): string {
  const whole = Math.abs(value) < 1 ? 0 : Math.floor(Math.log10(Math.abs(value))) + 1;
  return value.toFixed(Math.min(3, Math.max(0, 3 - whole)));
}

/**
 * Rows as aligned lines, indented: words to the left, whatever begins with a digit or stands in its
 * column right.
 */
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
