/** Colours are defined once, in style.css; what is drawn on a canvas asks for them here. */
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
  | 'waiting';

let styles: CSSStyleDeclaration | undefined;

export function colour(name: Colour): string {
  // Live: it follows the visitor's choice of light or dark.
  styles ??= getComputedStyle(document.documentElement);
  return styles.getPropertyValue(`--${name}`);
}

/** Calls `changed` when all colours may have changed. On paper they are the light ones. */
export function onThemeChange(changed: () => void): void {
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  const print = (isPrinting: boolean) => () => {
    document.documentElement.classList.toggle('printing', isPrinting);
    changed();
  };
  window.addEventListener('beforeprint', print(true));
  window.addEventListener('afterprint', print(false));
}
