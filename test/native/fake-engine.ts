import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { vi } from 'vitest';
import { sourcesDigest } from '../../worker/native/compile.ts';
import { stampOf } from '../../worker/native/loadable.ts';
import { BINDING_FORMAT, MANIFEST_FILE, readyTensorFlow } from '../../worker/native/engine-manifest.ts';
import { ownLink, SUPPORT_FILE, tfjsPackage } from '../../worker/native/places.ts';
import { temporaryFolder } from './stand-ins.ts';

interface Wishes {
  /** The cache; a new folder if not given. */
  readonly cache?: string;
  /** What lies where the addon of ours belongs. */
  readonly support?: string;
  /** Whether it was loaded on this machine before. */
  readonly isTried?: boolean;
}

/** A TensorFlow that is set up as far as its manifest says; no library is behind it. */
export function fakeEngine(
  device: 'cpu' | 'cuda',
  { cache = temporaryFolder(), support, isTried = true }: Wishes = {},
): string {
  vi.stubEnv('MNIST_DIST_CACHE', cache);
  const folder = ownLink(tfjsPackage().moduleDirectory);
  mkdirSync(folder, { recursive: true });
  const manifest = {
    format: BINDING_FORMAT,
    version: '2.21.0',
    source: 'fake',
    device,
    library: cache,
    environment: {},
    files: [],
    sources: sourcesDigest(),
    compiler: 'c',
    node: 'n',
  };
  writeFileSync(join(folder, MANIFEST_FILE), JSON.stringify(manifest));
  if (support !== undefined) writeFileSync(join(folder, SUPPORT_FILE), support);
  const native = readyTensorFlow();
  if (native === undefined) throw new Error('the fake engine is not taken for one');
  if (isTried) {
    const stamp = stampOf(native);
    mkdirSync(join(stamp, '..'), { recursive: true });
    writeFileSync(stamp, '');
  }
  return cache;
}
