import type { BoardRun, BoardView } from '../../board/api.ts';
import { count, counted, duration, loss, percent, short } from '../format.ts';

/** A column of the table. */
export interface Column {
  readonly key: string;
  readonly head: string;
  readonly isNumber: boolean;
  /** The cell's text. */
  readonly text: (run: BoardRun) => string;
  /** What the column is sorted by; undefined sorts last. */
  readonly value: (run: BoardRun) => string | number | undefined;
}

/** The columns that every board has, and one for each setting that differs. */
export function columnsOf(view: BoardView): Column[] {
  const settings = view.settings.map((setting, index): Column => {
    const text = (run: BoardRun) => run.settings[index] ?? '–';
    const isNumber = view.runs.every(({ settings }) => isNumeric(settings[index] ?? ''));
    return {
      key: `setting ${setting}`,
      head: setting,
      isNumber,
      text,
      value: (run) => {
        const value = run.settings[index] ?? undefined;
        return isNumber && value !== undefined ? Number(value) : value;
      },
    };
  });
  return [...facts, ...settings];
}

const facts: readonly Column[] = [
  {
    key: 'run',
    head: 'Run',
    isNumber: false,
    text: ({ name }) => name,
    value: ({ name }) => name,
  },
  {
    key: 'state',
    head: 'State',
    isNumber: false,
    text: ({ state }) => state,
    value: ({ state }) => state,
  },
  {
    key: 'accuracy',
    head: 'Accuracy',
    isNumber: true,
    text: ({ evaluation }) => percent(evaluation?.accuracy),
    value: ({ evaluation }) => evaluation?.accuracy,
  },
  {
    key: 'loss',
    head: 'Loss',
    isNumber: true,
    text: ({ evaluation }) => loss(evaluation?.loss),
    value: ({ evaluation }) => evaluation?.loss,
  },
  {
    key: 'step',
    head: 'Steps',
    isNumber: true,
    text: ({ step, steps }) => (step === steps ? count(step) : `${count(step)} of ${count(steps)}`),
    value: ({ step }) => step,
  },
  {
    key: 'time',
    head: 'Time',
    isNumber: true,
    text: ({ seconds }) => duration(seconds),
    value: ({ seconds }) => seconds,
  },
  {
    key: 'speed',
    head: 'Steps/s',
    isNumber: true,
    text: ({ stepsPerSecond }) => short(stepsPerSecond),
    value: ({ stepsPerSecond }) => stepsPerSecond,
  },
  {
    key: 'workers',
    head: 'Workers',
    isNumber: true,
    text: ({ workers }) => count(workers),
    value: ({ workers }) => workers,
  },
  {
    key: 'started',
    head: 'Started',
    isNumber: false,
    text: ({ started }) => dateOf(started),
    value: ({ started }) => started,
  },
  {
    key: 'model',
    head: 'Model',
    isNumber: false,
    text: ({ model }) => model,
    value: ({ model }) => model,
  },
];

function isNumeric(text: string): boolean {
  return text === '' || Number.isFinite(Number(text));
}

/** The local date and time, to the minute; the input itself if it is not a valid time. */
function dateOf(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const two = (part: number) => String(part).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** What is typed into the filter is looked for in these texts, in lower case. */
export function searchText(run: BoardRun, { settings }: BoardView): string {
  const values = settings.map((setting, index) => `${setting}=${run.settings[index] ?? ''}`);
  return [run.name, run.state, run.model, run.dataset, run.engine, ...values]
    .join('\n')
    .toLowerCase();
}

export interface Order {
  readonly key: string;
  readonly isDescending: boolean;
}

/** The runs in the order of a column; runs without a value come last. */
export function sorted(
  runs: readonly BoardRun[],
  columns: readonly Column[],
  { key, isDescending }: Order,
): BoardRun[] {
  const column = columns.find((each) => each.key === key);
  if (column === undefined) return [...runs];
  return runs.toSorted((a, b) => {
    const [left, right] = [column.value(a), column.value(b)];
    if (left === undefined || right === undefined)
      return Number(left === undefined) - Number(right === undefined);
    const order = compared(left, right);
    return isDescending ? -order : order;
  });
}

function compared(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

/** "12 runs, 2 running" */
export function summaryOf({ runs, pending, omitted }: BoardView): string {
  const running = runs.filter(({ state }) => state === 'running').length;
  return [
    counted(runs.length, 'run'),
    ...(running === 0 ? [] : [`${count(running)} running`]),
    ...(pending === 0 ? [] : [`${count(pending)} not read yet`]),
    ...(omitted === 0 ? [] : [`${count(omitted)} older folders left out`]),
  ].join(', ');
}
