/** The parts of an SVG that Vega drew for the layer of this name. */
export function layerOf(svg: string, name: string): string {
  const [, after = ''] = svg.split(new RegExp(`class="mark-\\w+ role-mark ${name}_marks"[^>]*>`));
  const end = after.indexOf('</g>');
  if (end < 0) throw new Error(`there is no layer ${name}`);
  return after.slice(0, end);
}

export function textsOf(svg: string): string[] {
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text = '']) => text);
}

/** The ends of all stretches of a line, one array for each unbroken part. */
export function linesOf(layer: string): [x: number, y: number][][] {
  const [, path = ''] = /<path [^>]*?d="([^"]*)"/.exec(layer) ?? [];
  return path
    .split('M')
    .slice(1)
    .map((part) =>
      part.split('L').map((point): [number, number] => {
        const [x = NaN, y = NaN] = point.replace('Z', '').split(',').map(Number);
        return [x, y];
      }),
    );
}

/** Where the labels of the vertical axis stand, from the top, by their text. */
export function valueLabels(svg: string): [text: string, y: number][] {
  const label = /<text text-anchor="end" transform="translate\([-\d.]+,([-\d.]+)\)"[^>]*>([^<]*)<\/text>/g;
  return [...svg.matchAll(label)].map(([, y = '', text = '']) => [text, Number(y)]);
}
