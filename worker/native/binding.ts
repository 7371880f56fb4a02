/**
 * The functions of tfjs-node's native binding that we use. They are called directly, because the
 * bookkeeping in tfjs's engine takes longer than running a small graph, and its disposeData stops
 * freeing memory once tensor ids, int32 in C++, have wrapped to negative numbers
 * (tensorflow/tfjs#8326). The binding itself accepts any id.
 */
export interface Binding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  isUsingGpuDevice(): boolean;
  getNumOfTensors(): number;
  /**
   * The tensor shares the array's memory until it is deleted, if that memory is aligned to 64
   * bytes.
   */
  createTensor(shape: readonly number[], type: number, values: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array;
  loadSavedModel(directory: string, tags: string): number;
  deleteSavedModel(id: number): void;
  /** Names are comma-separated. */
  runSavedModel(
    id: number,
    inputs: readonly number[],
    inputNames: string,
    outputNames: string,
  ): readonly { readonly id: number }[];
}

const methods = [
  'isUsingGpuDevice',
  'getNumOfTensors',
  'createTensor',
  'deleteTensor',
  'tensorDataSync',
  'loadSavedModel',
  'deleteSavedModel',
  'runSavedModel',
];

/** Checks a loaded binding. Throws if it lacks a function or constant that we use. */
export function parseBinding(binding: unknown): Binding {
  if (isBinding(binding)) return binding;
  throw new Error('its native binding lacks functions that mnist-dist needs');
}

function isBinding(value: unknown): value is Binding {
  if (typeof value !== 'object' || value === null) return false;
  const has = (name: string, type: string) => typeof Reflect.get(value, name) === type;
  const hasConstants =
    has('TF_Version', 'string') && has('TF_FLOAT', 'number') && has('TF_INT32', 'number');
  return hasConstants && methods.every((method) => has(method, 'function'));
}
