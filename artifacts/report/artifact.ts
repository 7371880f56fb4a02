/** A file that a run or an evaluation writes. */
export interface Artifact {
  /** A plain file name. */
  readonly name: string;
  /** MIME type. */
  readonly type: string;
  readonly bytes: Uint8Array;
}

export function textArtifact(name: string, type: string, text: string): Artifact {
  return { name, type, bytes: new TextEncoder().encode(text) };
}

export function jsonArtifact(name: string, value: object): Artifact {
  return { name, type: 'application/json', bytes: new TextEncoder().encode(jsonText(value)) };
}

export function svgArtifact(name: string, svg: string): Artifact {
  return { name, type: 'image/svg+xml', bytes: new TextEncoder().encode(svg) };
}

export function pngArtifact(name: string, bytes: Uint8Array): Artifact {
  return { name, type: 'image/png', bytes };
}

/**
 * Indented JSON with each array of numbers or strings on one line, so that a matrix is readable.
 */
function jsonText(value: object): string {
  const flat = /\[\n\s+([^[\]{}]*?)\n\s+\]/g;
  const oneLine = (_: string, items: string) => `[${items.replaceAll(/\n\s+/g, ' ')}]`;
  return `${JSON.stringify(value, undefined, 2).replaceAll(flat, oneLine)}\n`;
}
