import type { EventLine } from '../feed/api.ts';
import { find, make } from './dom.ts';
import { eventName, timeOfDay } from './format.ts';
import type { RunState } from './run-state.ts';

/** The events, newest first. */
export function mountEvents(): (state: RunState) => void {
  const list = find('event-list', HTMLOListElement);
  let shown: readonly EventLine[] = [];
  return ({ events }) => {
    if (events === shown) return;
    // A new list reuses the previous list's entries, so the entry shown last is still the same
    // object.
    const last = shown.at(-1);
    const fresh = events.slice(last === undefined ? 0 : events.lastIndexOf(last) + 1);
    if (fresh.length === events.length) list.replaceChildren();
    list.prepend(...fresh.toReversed().map((event) => makeItem(event)));
    while (list.childElementCount > events.length) list.lastElementChild?.remove();
    shown = events;
  };
}

function makeItem({ time, event, level, message }: EventLine): HTMLLIElement {
  return make(
    'li',
    { 'data-level': level },
    make('time', { datetime: time }, timeOfDay(time)),
    make(
      'span',
      { class: 'kind' },
      level === 'warn' ? `${eventName(event)} (warning)` : eventName(event),
    ),
    make('span', { class: 'message' }, message),
  );
}

/** The configuration, with one name and value per line, and the command that started the run. */
export function mountConfiguration(): (state: RunState) => void {
  const list = find('settings', HTMLDListElement);
  const command = find('command', HTMLElement);
  let shown = '';
  return ({ view }) => {
    const settings = JSON.stringify(view.configuration);
    if (settings === shown) return;
    shown = settings;
    const pairs = view.configuration.map(([name, value]) =>
      make('div', {}, make('dt', {}, name), make('dd', {}, value)),
    );
    list.replaceChildren(...pairs);
    command.hidden = view.command === undefined;
    command.replaceChildren('Started with ', make('code', {}, view.command ?? ''));
  };
}
