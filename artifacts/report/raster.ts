import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as resvg from '@resvg/resvg-wasm';
import { packageRoot } from '../../shared/package-root.ts';

/** PNG pixels per SVG pixel, so that pictures are sharp on high-density screens and on paper. */
const ZOOM = 2;

interface Rasterizer {
  readonly Resvg: typeof resvg.Resvg;
  readonly fonts: readonly Uint8Array[];
}

let ready: Promise<Rasterizer> | undefined;

/**
 * Loads resvg and our own font. Without fonts, resvg draws no text; with the fonts of the system,
 * the pictures would differ between machines.
 */
async function load(): Promise<Rasterizer> {
  const { resolve } = createRequire(import.meta.url);
  const [{ initWasm, Resvg }, wasm, ...fonts] = await Promise.all([
    import('@resvg/resvg-wasm'),
    readFile(resolve('@resvg/resvg-wasm/index_bg.wasm')),
    // The build copies it from the package dejavu-fonts-ttf.
    readFile(join(packageRoot, 'dist', 'font', 'DejaVuSans.ttf')),
  ]);
  await initWasm(wasm);
  return { Resvg, fonts };
}

export async function toPng(svg: string): Promise<Uint8Array> {
  ready ??= load();
  const { Resvg, fonts } = await ready;
  const drawing = new Resvg(svg, {
    font: {
      fontBuffers: [...fonts],
      defaultFontFamily: 'DejaVu Sans',
      sansSerifFamily: 'DejaVu Sans',
    },
    fitTo: { mode: 'zoom', value: ZOOM },
  });
  try {
    const image = drawing.render();
    try {
      return image.asPng();
    } finally {
      image.free();
    }
  } finally {
    drawing.free();
  }
}
