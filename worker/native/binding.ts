/**
 * The part of tfjs-node's native binding that we use: it loads TensorFlow, and it knows whether
 * TensorFlow uses a GPU. Graphs are run by our own addon (addons/graphs.cc).
 */
export interface Binding {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
}

/** Checks a loaded binding. Throws if it lacks a function or constant that we use. */
export function parseBinding(binding: unknown): Binding {
  if (isBinding(binding)) return binding;
  throw new Error('its native binding lacks functions that mnist-dist needs');
}

function isBinding(value: unknown): value is Binding {
  if (typeof value !== 'object' || value === null) return false;
  const has = (name: string, type: string) => typeof Reflect.get(value, name) === type;
  return has('TF_Version', 'string') && has('isUsingGpuDevice', 'function');
}
