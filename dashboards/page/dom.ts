import type { Picture } from '../../shared/digit/normalise.ts';

/**
 * Creates and changes elements of the page without parsing markup: all input is treated as text.
 */

type Tags = HTMLElementTagNameMap;

/** Finds an element of index.html. Throws if it is missing or of a different kind. */
export function find<E extends HTMLElement>(id: string, kind: new () => E): E {
  const element = document.getElementById(id);
  if (element instanceof kind) return element;
  throw new Error(`the page has no #${id}`);
}

/** A new element with attributes and children. */
export function make<K extends keyof Tags>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): Tags[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Sets the text only if it differs, which avoids a relayout and preserves a selection. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Adds or removes elements at the end of a list until it has `wanted` elements. */
export function setCount<E extends Element>(
  list: Element,
  rows: E[],
  wanted: number,
  create: () => E,
): void {
  while (rows.length > wanted) rows.pop()?.remove();
  while (rows.length < wanted) {
    const row = create();
    rows.push(row);
    list.append(row);
  }
}

/**
 * Clears a canvas, matches it to the screen's resolution and returns its context. Sizes are in CSS
 * pixels.
 */
export function sharpContext(
  canvas: HTMLCanvasElement,
  width: number,
  height: number,
): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('this browser does not support canvas');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * Paints a picture, one canvas pixel per pixel of the picture. Ink is black and paper is
 * transparent; style.css inverts the picture for the dark theme.
 */
export function paintPicture(canvas: HTMLCanvasElement, { rows, columns, pixels }: Picture): void {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  for (const [index, ink] of pixels.entries()) image.data[index * 4 + 3] = Math.round(ink * 255);
  canvas.getContext('2d')?.putImageData(image, 0, 0);
}

/** The colours in style.css, for use in canvases. */
export type Colour =
  | 'paper'
  | 'ink'
  | 'muted'
  | 'line'
  | 'accent'
  | 'accent-soft'
  | 'training'
  | 'late'
  | 'aside'
  | 'lost'
  | 'waiting'
  | `run-${number}`;

let styles: CSSStyleDeclaration | undefined;

export function colour(name: Colour): string {
  // This object is live: it follows the viewer's colour scheme.
  styles ??= getComputedStyle(document.documentElement);
  return styles.getPropertyValue(`--${name}`);
}

/** Calls `changed` when the colours may have changed. Printing uses the light colours. */
export function onThemeChange(changed: () => void): void {
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  const print = (isPrinting: boolean) => () => {
    document.documentElement.classList.toggle('printing', isPrinting);
    changed();
  };
  window.addEventListener('beforeprint', print(true));
  window.addEventListener('afterprint', print(false));
}
