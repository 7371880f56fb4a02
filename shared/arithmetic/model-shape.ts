/**
 * The model's shape: Flatten - [Dense(units, ReLU) - Dropout]* - Dense(classes). All parameters are
 * in one flat float32 vector, layer by layer: the kernel [inputs, units] row-major, then the bias
 * [units], as in Keras.
 */
export interface ModelShape {
  /** Values per sample: rows x columns of the image. */
  readonly inputs: number;
  /** Units of each hidden layer; there is at least one. */
  readonly hidden: readonly number[];
  /** Units of the last layer, one per class. */
  readonly classes: number;
}

export interface DenseLayer {
  readonly inputs: number;
  readonly units: number;
  /** Offsets of the kernel and the bias in the parameter vector, in floats. */
  readonly kernelOffset: number;
  readonly biasOffset: number;
}

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Offset in the parameter vector, in floats. */
  readonly offset: number;
  readonly length: number;
}

/** The dense layers in order. The last layer computes the logits. */
export function denseLayers(model: ModelShape): DenseLayer[] {
  const widths = [model.inputs, ...model.hidden, model.classes];
  let offset = 0;
  return widths.slice(1).map((units, i) => {
    const inputs = widths[i] ?? 0;
    const kernelOffset = offset;
    const biasOffset = kernelOffset + inputs * units;
    offset = biasOffset + units;
    return { inputs, units, kernelOffset, biasOffset };
  });
}

/** The number of parameters, called P in other comments: 101,770 for 784-128-10. */
export function parameterCount(model: ModelShape): number {
  const last = denseLayers(model).at(-1);
  return last === undefined ? 0 : last.biasOffset + last.units;
}

/**
 * Every parameter tensor, with its name in files: `dense.0.kernel`, `dense.0.bias`,
 * `dense.1.kernel`, ...
 */
export function namedTensors(model: ModelShape): NamedTensor[] {
  return denseLayers(model).flatMap(({ inputs, units, kernelOffset, biasOffset }, i) => [
    {
      name: `dense.${i}.kernel`,
      shape: [inputs, units],
      offset: kernelOffset,
      length: inputs * units,
    },
    { name: `dense.${i}.bias`, shape: [units], offset: biasOffset, length: units },
  ]);
}
