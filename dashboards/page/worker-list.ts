import type { WorkerStatus } from '../feed/api.ts';
import { find, make, setAttribute, setCount, setText, onThemeChange } from './dom.ts';
import { count, counted, milliseconds, percent, timeOfDay } from './format.ts';
import { TIMELINE_MILLISECONDS } from './page-limits.ts';
import type { RunState } from './run-state.ts';
import { drawTimeline } from './timeline-row.ts';
import { timelines, type Segment, stateText } from './timeline.ts';

const byName = new Intl.Collator('en', { numeric: true });

/** One row of the table; its cells are created once. */
interface Row {
  readonly row: HTMLTableRowElement;
  readonly name: HTMLElement;
  readonly state: HTMLElement;
  readonly engine: HTMLElement;
  readonly samples: HTMLElement;
  readonly computing: HTMLElement;
  readonly exchanging: HTMLElement;
  readonly shares: HTMLElement;
  readonly sharesText: HTMLElement;
  readonly roundTrip: HTMLElement;
  readonly timeline: HTMLCanvasElement;
}

/** The table of workers and their timelines. */
export function mountWorkers(): (state: RunState) => void {
  const body = find('worker-rows', HTMLTableSectionElement);
  const note = find('workers-note', HTMLElement);
  const span = find('timeline-span', HTMLElement);
  const none = find('no-workers', HTMLElement);
  const rows: Row[] = [];
  const elements: HTMLTableRowElement[] = [];
  let shown: RunState | undefined;
  const show = (state: RunState) => {
    shown = state;
    const { status, changes } = state;
    setCount(body, elements, status.workers.length, () => {
      const row = makeRow();
      rows[elements.length] = row;
      return row.row;
    });
    none.hidden = status.workers.length > 0;
    setText(note, noteText(state));
    const from = timelineStart(state);
    const segments = timelines(changes, from, state.now);
    setText(span, ` since ${timeOfDay(from)}`);
    // Sorted by name, so that rows do not move when a worker comes back.
    const workers = status.workers.toSorted((a, b) => byName.compare(a.name, b.name));
    for (const [index, worker] of workers.entries()) {
      const row = rows[index];
      if (row === undefined) continue;
      fill(row, worker);
      const timeline = segments.get(worker.name) ?? [];
      drawTimeline(row.timeline, timeline, from, state.now);
      setAttribute(row.timeline, 'aria-label', timelineText(timeline));
    }
  };
  const showAgain = () => {
    if (shown !== undefined) show(shown);
  };
  onThemeChange(showAgain);
  window.addEventListener('resize', showAgain);
  return show;
}

function noteText({ status }: RunState): string {
  const parts = [`${count(status.joined)} joined`, `${count(status.lost)} lost`];
  if (status.reassigned !== undefined)
    parts.push(`${counted(status.reassigned, 'part')} reassigned`);
  if (status.stragglerSteps !== undefined)
    parts.push(`${counted(status.stragglerSteps, 'step')} delayed by a straggler`);
  if (status.checkpointStep !== undefined)
    parts.push(`last checkpoint at step ${count(status.checkpointStep)}`);
  return parts.join(' · ');
}

/** The start of the run, or ten minutes ago if the run started earlier. */
function timelineStart(state: RunState): number {
  const first = state.changes[0]?.at ?? Date.parse(state.view.started);
  return Math.max(Math.min(first, state.now - 1000), state.now - TIMELINE_MILLISECONDS);
}

function makeRow(): Row {
  const [computing, exchanging] = [
    make('i', { class: 'computing' }),
    make('i', { class: 'exchanging' }),
  ];
  const shares = make('span', { class: 'bar', 'aria-hidden': 'true' }, computing, exchanging);
  const sharesText = make('span', { class: 'bar-text' });
  const cells = {
    name: make('th', { scope: 'row', class: 'name' }),
    state: make('td', { class: 'state' }),
    engine: make('td', { class: 'engine' }),
    samples: make('td', { class: 'number' }),
    roundTrip: make('td', { class: 'number' }),
  };
  const timeline = make('canvas', { class: 'timeline', role: 'img' });
  const bars = make('td', { class: 'share' }, shares, sharesText);
  const label = (cell: HTMLElement, text: string) => {
    cell.dataset['label'] = text;
    return cell;
  };
  const row = make(
    'tr',
    {},
    cells.name,
    label(cells.state, 'State'),
    label(cells.engine, 'Engine'),
    label(cells.samples, 'Samples'),
    label(bars, 'Share of each step'),
    label(cells.roundTrip, 'Round trip'),
    label(make('td', { class: 'states' }, timeline), 'States'),
  );
  return { row, ...cells, computing, exchanging, shares, sharesText, timeline };
}

function fill(row: Row, worker: WorkerStatus): void {
  setAttribute(row.row, 'data-state', worker.state);
  setText(row.name, worker.name);
  setText(row.state, stateText(worker.state));
  setText(row.engine, worker.engine === '' ? '–' : worker.engine);
  setText(row.samples, count(worker.samples));
  const isComputing = worker.state === 'training' || worker.state === 'late';
  row.shares.hidden = !isComputing;
  const computing = part(worker.computing);
  const exchanging = Math.min(part(worker.exchanging), 1 - computing);
  row.computing.style.width = `${computing * 100}%`;
  row.exchanging.style.width = `${exchanging * 100}%`;
  setText(row.sharesText, isComputing ? sharesText(worker) : '–');
  setText(row.roundTrip, milliseconds(worker.roundTripMilliseconds));
}

function sharesText({ computing, exchanging }: WorkerStatus): string {
  const waiting = Math.max(0, 1 - part(computing) - part(exchanging));
  return [computing, exchanging, waiting].map((share) => percent(part(share), 0)).join(' · ');
}

function part(share: number): number {
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
}

/** The last three segments as text. */
function timelineText(segments: readonly Segment[]): string {
  if (segments.length === 0) return 'no data';
  const said = segments
    .slice(-3)
    .map(({ state, from }) => `${stateText(state)} from ${timeOfDay(from)}`);
  return said.join(', ');
}
