import type { RunFile } from '../feed/api.ts';
import { find, make, setText } from './dom.ts';
import { bytesText } from './format.ts';
import type { RunState } from './run-state.ts';

const names: Readonly<Record<string, string>> = {
  'artifacts/report.html': 'Report',
  'artifacts/summary.json': 'Summary',
  'artifacts/misclassified.jsonl': 'Mistakes',
  'model.safetensors': 'Model',
  'run.json': 'Run',
  'metrics.jsonl': 'Steps',
  'events.jsonl': 'Events',
};

/**
 * Links to the files of the run. The coordinator of a run serves them until it ends, which is when
 * the model and the report are written.
 */
export function mountFiles(fetchFiles: () => Promise<readonly RunFile[]>) {
  const section = find('files', HTMLElement);
  const list = find('file-list', HTMLUListElement);
  const note = find('files-note', HTMLElement);
  let fetchedFor: string | undefined;
  const show = (files: readonly RunFile[]): void => {
    section.hidden = files.length === 0;
    list.replaceChildren(...files.map(itemOf));
  };
  return ({ view, status, isOver }: RunState): void => {
    const key = `${view.term} ${status.state}`;
    if (key === fetchedFor) return;
    fetchedFor = key;
    if (view.isLive && isOver) {
      section.hidden = false;
      list.replaceChildren();
      return setText(
        note,
        'The coordinator has ended; mnist-dist show serves the report and the files.',
      );
    }
    setText(note, '');
    // The next state fetches them again; until then, the list stays as it is.
    fetchFiles().then(show, () => undefined);
  };
}

function itemOf({ path, bytes: size }: RunFile): HTMLLIElement {
  return make(
    'li',
    {},
    make('a', { href: `files/${path}`, target: '_blank', rel: 'noopener' }, names[path] ?? path),
    ` ${path}, ${bytesText(size)}`,
  );
}
