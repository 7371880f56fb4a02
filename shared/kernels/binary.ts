import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { ClusterError } from '../errors.ts';

// TypeScript declares WebAssembly only in its `dom` library; these are the parts used here.
declare namespace WebAssembly {
  export class Memory {
    constructor(descriptor: { initial: number; maximum: number });
    readonly buffer: ArrayBuffer;
  }
  export class Module {
    constructor(binary: Uint8Array);
    readonly [Symbol.toStringTag]: 'WebAssembly.Module';
  }
  export class Instance {
    constructor(module: Module, imports: { env: { memory: Memory } });
    readonly exports: Record<string, unknown>;
  }
}

/** WebAssembly's page size. */
export const PAGE_BYTES = 65_536;

/** The exports of assembly/index.ts. Addresses are in bytes; 64-bit results are signed BigInts. */
export interface KernelExports {
  add(into: number, from: number, count: number): void;
  addZero(into: number, count: number): void;
  adam(
    from: number,
    to: number,
    gradient: number,
    firstMoment: number,
    secondMoment: number,
    count: number,
    beta1: number,
    complement1: number,
    beta2: number,
    complement2: number,
    epsilon: number,
    rate: number,
  ): bigint;
  sgd(from: number, to: number, gradient: number, count: number, rate: number): bigint;
  sgdMomentum(
    from: number,
    to: number,
    gradient: number,
    velocity: number,
    count: number,
    momentum: number,
    rate: number,
    nesterov: number,
  ): bigint;
  scale(into: number, count: number, factor: number): void;
  decay(from: number, to: number, count: number, factor: number): void;
  sumOfSquares(at: number, count: number): number;
  check(at: number, count: number): bigint;
  lastFinite(): number;
  checksum(at: number, byteLength: number): bigint;
  mask(
    out: number,
    seedLow: number,
    seedHigh: number,
    step: number,
    position: number,
    purposeAndLayer: number,
    rows: number,
    units: number,
    threshold: number,
    keep: number,
  ): void;
  pixels(out: number, from: number, count: number): void;
  augment(
    to: number,
    from: number,
    surrounded: number,
    rows: number,
    columns: number,
    seedLow: number,
    seedHigh: number,
    epoch: number,
    sample: number,
    purposeAndLayer: number,
    shift: number,
    turn: number,
    zoom: number,
  ): void;
}

const exportNames = [
  'add',
  'addZero',
  'adam',
  'sgd',
  'sgdMomentum',
  'scale',
  'decay',
  'sumOfSquares',
  'check',
  'lastFinite',
  'checksum',
  'mask',
  'pixels',
  'augment',
];

interface KernelBinary {
  readonly module: WebAssembly.Module;
  readonly digest: string;
}

let loaded: KernelBinary | undefined;

/** SHA-256 (hex) of the compiled kernels, on which a run's bytes depend. */
export function kernelDigest(): string {
  return load().digest;
}

/**
 * Instantiates the kernels on a new memory of `pages` pages that cannot grow. Throws a SETUP error
 * if the kernels have not been built.
 */
export function instantiate(pages: number): { memory: WebAssembly.Memory; exports: KernelExports } {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(load().module, { env: { memory } });
  if (!isKernelExports(exports)) throw outdated();
  return { memory, exports };
}

/**
 * Reads and compiles the kernels once per process. It does so synchronously, because the file has
 * only a few KB and nothing can start without it.
 */
function load(): KernelBinary {
  if (loaded !== undefined) return loaded;
  // The file is next to the compiled JavaScript, or in dist/ if the sources run directly.
  const places = ['./kernels.wasm', '../../dist/shared/kernels/kernels.wasm'].map(
    (path) => new URL(path, import.meta.url),
  );
  const place = places.find((url) => existsSync(url));
  if (place === undefined) throw outdated();
  const bytes = readFileSync(place);
  loaded = {
    module: new WebAssembly.Module(bytes),
    digest: createHash('sha256').update(bytes).digest('hex'),
  };
  return loaded;
}

function isKernelExports(exports: object): exports is KernelExports {
  return exportNames.every((name) => typeof Reflect.get(exports, name) === 'function');
}

function outdated(): ClusterError {
  return new ClusterError(
    'SETUP',
    'the arithmetic kernels (dist/shared/kernels/kernels.wasm) are missing or outdated',
    {
      fix: 'start with `npx mnist-dist`, which builds them',
    },
  );
}
