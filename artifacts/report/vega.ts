import type { Spec } from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import type { Colours } from './colours.ts';

export type Part = Readonly<Record<string, unknown>>;

export interface Padding {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** The PNGs use the first font; the others have about the same width. */
export const FONT = 'DejaVu Sans, Verdana, sans-serif';
export const FONT_SIZE = 12;

/**
 * Draws a Vega-Lite specification as SVG. The caller specifies all positions: Vega measures text if
 * a canvas is installed and guesses otherwise, and the bytes must not depend on that.
 */
export async function drawSvg(spec: Part, padding: Padding, colours: Colours): Promise<string> {
  const [{ Error: ERRORS, logger, parse, View }, { compile }] = await Promise.all([
    import('vega'),
    import('vega-lite'),
  ]);
  const whole = { ...spec, padding, autosize: 'none', config: configOf(colours) };
  // Vega-Lite checks the specification itself; its type is too large to build one piece by piece.
  const checked = JSON.parse(JSON.stringify(whole)) as TopLevelSpec;
  const compiled: Spec = compile(checked, { logger: logger(ERRORS) }).spec;
  const view = new View(parse(compiled), { renderer: 'none', logLevel: ERRORS });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function configOf({ paper, ink, muted, line }: Colours): Part {
  const size = { labelFontSize: FONT_SIZE, titleFontSize: FONT_SIZE };
  return {
    background: paper,
    font: FONT,
    aria: false,
    view: { stroke: null },
    text: { font: FONT, fontSize: FONT_SIZE, fill: ink },
    axis: {
      domain: false,
      ticks: false,
      gridColor: line,
      labelColor: muted,
      titleColor: muted,
      labelLimit: 0,
      labelOverlap: false,
      labelPadding: 6,
      titleFontWeight: 'normal',
      ...size,
    },
  };
}

/** A line of text at a position in pixels from the top left of the plot. */
export function textAt(x: number, y: number, text: string, more: Part = {}): Part {
  return {
    data: { values: [{ text }] },
    mark: { type: 'text', align: 'left', baseline: 'middle', ...more },
    encoding: { x: { value: x }, y: { value: y }, text: { field: 'text', type: 'nominal' } },
  };
}
