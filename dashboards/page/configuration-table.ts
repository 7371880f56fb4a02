import { find, make } from './dom.ts';
import type { RunState } from './run-state.ts';

export function mountConfiguration(): (state: RunState) => void {
  const list = find('settings', HTMLDListElement);
  let shown = '';
  return ({ view }) => {
    const settings = JSON.stringify(view.configuration);
    if (settings === shown) return;
    shown = settings;
    const pairs = view.configuration.map(([name, value]) =>
      make('div', {}, make('dt', {}, name), make('dd', {}, value)),
    );
    list.replaceChildren(...pairs);
  };
}
