import type { Window } from '../../shared/arithmetic/model-shape.ts';
import type { Targets } from '../../shared/arithmetic/targets.ts';

/** A TensorFlow graph as plain data, which saved-model.ts writes and TensorFlow runs. */
export type ElementType = 'float32' | 'int32';

export type Attribute =
  | { readonly type: ElementType }
  | { readonly boolean: boolean }
  | { readonly integer: number }
  | { readonly integers: readonly number[] }
  | { readonly text: string }
  | { readonly shape: readonly number[] }
  | { readonly tensor: ConstantTensor };

export interface ConstantTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly values: readonly number[] | Float32Array;
}

export interface GraphNode {
  readonly name: string;
  /** The name of a TensorFlow operation: https://www.tensorflow.org/api_docs/python/tf/raw_ops */
  readonly operation: string;
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly nodes: readonly GraphNode[];
  /** Names of the placeholders, in order of creation. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** A value in the graph: "node" for a node's first output, "node:1" for its second. */
export type Value = string;

export interface MatMulOptions {
  readonly transposeX?: boolean;
  readonly transposeY?: boolean;
  readonly after?: Value | undefined;
}

type WindowedOperation =
  | 'Conv2D'
  | 'Conv2DBackpropInput'
  | 'Conv2DBackpropFilter'
  | 'MaxPool'
  | 'MaxPoolGrad'
  | 'AvgPool'
  | 'AvgPoolGrad';

const FLOAT: Attribute = { type: 'float32' };
const INT: Attribute = { type: 'int32' };

/**
 * Collects a graph's nodes. Most methods add a node and return its value. Nodes are named by
 * number, so that equal graphs have equal names.
 */
export class GraphBuilder {
  readonly #nodes: GraphNode[] = [];
  readonly #placeholders: string[] = [];

  add(
    operation: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>>,
    as?: string,
  ): Value {
    const name = as ?? `${operation}_${this.#nodes.length}`;
    this.#nodes.push({ name, operation, inputs, attributes });
    return name;
  }

  placeholder(name: string, type: ElementType, shape: readonly number[]): Value {
    this.#placeholders.push(name);
    return this.add('Placeholder', [], { dtype: { type }, shape: { shape } }, name);
  }

  constant(tensor: ConstantTensor): Value {
    return this.add('Const', [], { dtype: { type: tensor.type }, value: { tensor } });
  }

  integers(...values: readonly number[]): Value {
    return this.constant({ type: 'int32', shape: [values.length], values });
  }

  scalar(type: ElementType, value: number): Value {
    return this.constant({ type, shape: [], values: [value] });
  }

  /** An operation that moves a window over images [rows, height, width, channels]. */
  windowed(operation: WindowedOperation, inputs: readonly Value[], window: Window): Value {
    const { size, strides, padding } = window;
    return this.add(operation, inputs, {
      T: FLOAT,
      strides: { integers: [1, ...strides, 1] },
      padding: { text: padding.toUpperCase() },
      ...(operation.startsWith('Conv') ? {} : { ksize: { integers: [1, ...size, 1] } }),
    });
  }

  unary(operation: 'Relu' | 'Softmax' | 'LogSoftmax' | 'Exp', x: Value): Value {
    return this.add(operation, [x], { T: FLOAT });
  }

  binary(operation: 'AddV2' | 'Mul' | 'BiasAdd' | 'ReluGrad', x: Value, y: Value): Value {
    return this.add(operation, [x, y], { T: FLOAT });
  }

  /** The value itself, but not before `after` has been computed. */
  identity(x: Value, after: Value | undefined): Value {
    return after === undefined ? x : this.add('Identity', [x, ...control(after)], { T: FLOAT });
  }

  /** `after` is a value that must have been computed first. */
  matMul(
    x: Value,
    y: Value,
    { transposeX = false, transposeY = false, after }: MatMulOptions = {},
  ): Value {
    const attributes = {
      T: FLOAT,
      transpose_a: { boolean: transposeX },
      transpose_b: { boolean: transposeY },
    };
    return this.add('MatMul', [x, y, ...control(after)], attributes);
  }

  sum(x: Value, ...axes: readonly number[]): Value {
    return this.add('Sum', [x, this.integers(...axes)], {
      T: FLOAT,
      Tidx: INT,
      keep_dims: { boolean: false },
    });
  }

  reshape(x: Value, ...shape: readonly number[]): Value {
    return this.add('Reshape', [x, this.integers(...shape)], { T: FLOAT, Tshape: INT });
  }

  /** Zeros, which exist only once `after` has been computed: a constant would always exist. */
  zeros(shape: readonly number[], after: Value): Value {
    const inputs = [this.integers(...shape), this.scalar('float32', 0), ...control(after)];
    return this.add('Fill', inputs, { T: FLOAT, index_type: INT });
  }

  slice(x: Value, begin: number, size: number): Value {
    return this.add('Slice', [x, this.integers(begin), this.integers(size)], {
      T: FLOAT,
      Index: INT,
    });
  }

  /** [rows, classes]: -own at each row's label and -other elsewhere, also in a row of label -1. */
  negativeTargets(labels: Value, classes: number, { own, other }: Targets): Value {
    const inputs = [
      labels,
      this.scalar('int32', classes),
      this.scalar('float32', -own),
      // +0, not -0, without label smoothing.
      this.scalar('float32', 0 - other),
    ];
    return this.add('OneHot', inputs, { T: FLOAT, TI: INT, axis: { integer: -1 } });
  }

  /** Splits a value into `parts` equal parts along the first axis. */
  split(x: Value, parts: number): Value[] {
    if (parts === 1) return [x];
    const name = this.add('Split', [this.scalar('int32', 0), x], {
      T: FLOAT,
      num_split: { integer: parts },
    });
    return Array.from({ length: parts }, (_, i) => (i === 0 ? name : `${name}:${i}`));
  }

  concat(axis: number, ...values: readonly Value[]): Value {
    const attributes = { T: FLOAT, Tidx: INT, N: { integer: values.length } };
    return this.add('ConcatV2', [...values, this.scalar('int32', axis)], attributes);
  }

  /** The graph with these outputs, in this order. */
  build(outputs: readonly Value[]): Graph {
    return { nodes: this.#nodes, inputs: this.#placeholders, outputs };
  }
}

/** The input that makes an operation wait for a value. */
function control(after: Value | undefined): string[] {
  return after === undefined ? [] : [`^${after.split(':')[0] ?? ''}`];
}
