import type { Evaluated, Mistake } from '../feed/api.ts';
import { find, make, paintPicture, setText } from './dom.ts';
import { capitalized, count, percent } from './format.ts';
import type { Picture } from '../../shared/digit/normalise.ts';
import type { RunState } from './run-state.ts';

/** Shows the pictures that the model misclassified; clicking one passes it to `choose`. */
export function mountMistakes(choose: (picture: Picture) => void): (state: RunState) => void {
  const list = find('mistake-list', HTMLUListElement);
  const note = find('mistakes-note', HTMLElement);
  let shown: Evaluated | undefined;
  return ({ evaluated, view }) => {
    if (evaluated === shown || evaluated === undefined) return;
    shown = evaluated;
    const { mistakes, set, step } = evaluated;
    const name = (index: number) => view.classNames[index] ?? String(index);
    const none = hasMistakes(evaluated)
      ? 'No pictures are stored for the evaluation'
      : 'No mistakes';
    const text =
      mistakes.length === 0
        ? `${none} after step ${count(step)}.`
        : `The most confident mistakes on the ${set} set after step ${count(step)}: ` +
          `true → predicted. Choose one to see the current prediction.`;
    setText(note, text);
    const items = mistakes.map((mistake) => {
      const button = makeButton(
        mistake,
        set,
        pictureOf(mistake.pixels, view.rows, view.columns),
        name,
        choose,
      );
      return make('li', {}, button);
    });
    list.replaceChildren(...items);
  };
}

/**
 * Whether the model made mistakes, even if they have no pictures: pictures are not recorded, so a
 * resumed run lacks them until its next evaluation.
 */
function hasMistakes({ confusion }: Evaluated): boolean {
  return confusion.some((counts, actual) =>
    counts.some((cell, predicted) => cell > 0 && predicted !== actual),
  );
}

function makeButton(
  mistake: Mistake,
  set: Evaluated['set'],
  picture: Picture,
  name: (index: number) => string,
  choose: (picture: Picture) => void,
): HTMLButtonElement {
  const canvas = make('canvas', { 'aria-hidden': 'true' });
  paintPicture(canvas, picture);
  const { true: actual, predicted, confidence, index } = mistake;
  const label =
    `${capitalized(set)} image ${index}: ${name(actual)}, ` +
    `predicted as ${name(predicted)} with ` +
    percent(confidence, 1);
  const button = make(
    'button',
    { type: 'button', 'aria-label': label, title: label },
    canvas,
    make('span', { class: 'classes' }, `${name(actual)} → ${name(predicted)}`),
    make('span', { class: 'confidence' }, percent(confidence, 1)),
  );
  button.addEventListener('click', () => choose(picture));
  return button;
}

/** Decodes base64 bytes, row by row; missing bytes are background. */
export function pictureOf(base64: string, rows: number, columns: number): Picture {
  const bytes = atob(base64);
  const pixels = new Float32Array(rows * columns);
  for (let index = 0; index < pixels.length && index < bytes.length; index++)
    pixels[index] = bytes.charCodeAt(index) / 255;
  return { rows, columns, pixels };
}
