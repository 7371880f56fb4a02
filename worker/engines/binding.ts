import { ClusterError } from '../../shared/errors.ts';
import type { TensorFlowModule } from '../native/load.ts';

/**
 * What we use of tfjs-node's native binding. Called directly: the bookkeeping of tfjs' engine
 * around it takes longer than a small graph, and its disposeData stops to free anything once the
 * ids of tensors, int32 in C++, have wrapped to negative (tensorflow/tfjs#8326). The binding itself
 * takes any id.
 */
export interface Binding {
  readonly TF_Version: string;
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  isUsingGpuDevice(): boolean;
  getNumOfTensors(): number;
  /** The tensor shares the array's memory, if that is aligned to 64 bytes, until it is deleted. */
  createTensor(shape: readonly number[], type: number, values: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array;
  loadSavedModel(directory: string, tags: string): number;
  deleteSavedModel(id: number): void;
  /** Names are joined by commas. */
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

/** The binding behind the package's backend; ENGINE if this version has another one. */
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
