import { ClusterError } from '../../shared/errors.ts';
import type { TensorFlowModule } from '../native/load.ts';

/**
 * The functions of tfjs-node's native binding that are in use. They are called directly: the
 * bookkeeping of tfjs's engine takes longer than a small graph, and its disposeData frees nothing
 * after the ids of tensors, int32 in C++, wrap to negative numbers (tensorflow/tfjs#8326). The
 * binding itself accepts any id.
 */
export interface Binding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  isUsingGpuDevice(): boolean;
  getNumOfTensors(): number;
  /**
   * The tensor shares the memory of the array until it is deleted, if that is aligned to 64 bytes.
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

/** The binding of the package's backend. Throws ENGINE if it has other functions. */
export function bindingOf(tensorflow: TensorFlowModule): Binding {
  const binding: unknown = Reflect.get(tensorflow.backend(), 'binding');
  if (isBinding(binding)) return binding;
  throw new ClusterError(
    'ENGINE',
    'the native binding of tfjs-node has other functions than expected',
    {
      fix: 'Run `npm ci` to get the version of @tensorflow/tfjs-node-gpu that mnist-dist needs.',
    },
  );
}

function isBinding(value: unknown): value is Binding {
  if (typeof value !== 'object' || value === null) return false;
  const has = (name: string, type: string) => typeof Reflect.get(value, name) === type;
  const hasConstants =
    has('TF_Version', 'string') && has('TF_FLOAT', 'number') && has('TF_INT32', 'number');
  return hasConstants && methods.every((method) => has(method, 'function'));
}
