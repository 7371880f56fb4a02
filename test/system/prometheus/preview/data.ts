import {
  settled,
  type Dashboard,
  type Panel,
  type Target,
} from '../../../fixtures/read-dashboards.ts';
import type { Asker, Series } from '../prometheus.ts';

/** The period that a preview shows, in seconds since 1970, and the distance between its points. */
export interface Window {
  readonly run: string;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

/** A series with its name in the legend. */
export interface Named extends Series {
  readonly name: string;
  readonly refId: string;
}

export async function ask(asker: Asker, target: Target, window: Window): Promise<Named[]> {
  const query = settled(target.expr, {
    run: window.run,
    rangeSeconds: window.end - window.start,
    stepSeconds: window.step,
  });
  const series = target.instant
    ? await asker.at(query, window.end)
    : await asker.between(query, window.start, window.end, window.step);
  return series.map((each) => ({
    ...each,
    refId: target.refId,
    name: legend(target, each.labels),
  }));
}

function legend({ legendFormat }: Target, labels: Series['labels']): string {
  return legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '');
}

export interface Moment {
  readonly time: number;
  readonly color: string;
}

/**
 * The times of events, for the vertical lines: the first point in each group of adjacent points.
 */
export async function marks(
  asker: Asker,
  { annotations }: Dashboard,
  window: Window,
): Promise<Moment[]> {
  const found = annotations.list.map(async ({ expr, iconColor }) => {
    const query = settled(expr, { run: window.run, rangeSeconds: 0, stepSeconds: window.step });
    const series = await asker.between(query, window.start, window.end, window.step);
    return series.flatMap(({ points }) =>
      points
        .filter(
          ([time], index) => index === 0 || time - (points[index - 1]?.[0] ?? 0) > window.step,
        )
        .map(([time]) => ({ time, color: iconColor })),
    );
  });
  return (await Promise.all(found)).flat();
}

/** The value of an override for the field with this name. */
export function property(panel: Panel, name: string, id: string): unknown {
  const fitting = (panel.fieldConfig?.overrides ?? []).filter(({ matcher }) =>
    matcher.id === 'byName'
      ? matcher.options === name
      : new RegExp(matcher.options.slice(1, -1)).test(name),
  );
  return fitting.flatMap(({ properties }) => properties).find((each) => each.id === id)?.value;
}

export function color(panel: Panel, name: string, index: number): string {
  const value = property(panel, name, 'color');
  const isFixed = typeof value === 'object' && value !== null && 'fixedColor' in value;
  return isFixed ? String(value.fixedColor) : (others[index % others.length] ?? '');
}
/** Colours for names that have no colour of their own. */
const others = ['#56B4E9', '#E69F00', '#009E73', '#CC79A7'];
