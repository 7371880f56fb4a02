/** The colours in a picture, by their use. */
export interface Colours {
  readonly paper: string;
  readonly ink: string;
  readonly muted: string;
  readonly line: string;
  /** Correct predictions, and the training curve. */
  readonly hit: string;
  readonly hitSoft: string;
  /** Mistakes. */
  readonly miss: string;
  /** The curve of the evaluations. */
  readonly evaluation: string;
  /** Text on a solid `hit` or `miss` background. */
  readonly onHit: string;
  readonly onMiss: string;
}

/** Okabe and Ito's colours on white, the same as on the live page. */
export const light: Colours = {
  paper: '#ffffff',
  ink: '#191b1f',
  muted: '#5b6169',
  line: '#e4e5e7',
  hit: '#0072b2',
  hitSoft: '#b3d4e7',
  miss: '#d55e00',
  evaluation: '#d55e00',
  onHit: '#ffffff',
  onMiss: '#191b1f',
};

export const dark: Colours = {
  paper: '#121417',
  ink: '#e8eaed',
  muted: '#a2a8b0',
  line: '#2a2e34',
  hit: '#56b4e9',
  hitSoft: '#2c5f7d',
  miss: '#f0772b',
  evaluation: '#f0772b',
  onHit: '#121417',
  onMiss: '#121417',
};

/** For a picture inside a page whose style sheet contains the `declarations` of light or dark. */
export const themed: Colours = {
  paper: 'transparent',
  ink: 'var(--ink)',
  muted: 'var(--muted)',
  line: 'var(--line)',
  hit: 'var(--hit)',
  hitSoft: 'var(--hitSoft)',
  miss: 'var(--miss)',
  evaluation: 'var(--evaluation)',
  onHit: 'var(--onHit)',
  onMiss: 'var(--onMiss)',
};

export function declarations(colours: Colours): string {
  return Object.entries(colours)
    .map(([name, value]) => `--${name}: ${value};`)
    .join(' ');
}
