import {
  convert,
  type Convolution,
  type ConvertedLayer,
  type Dense,
  type Pooling,
  type Volume,
} from '../../shared/arithmetic/model-shape.ts';
import { encodeTensors, type Tensor } from '../../shared/files/safetensors.ts';
import {
  metadataTexts,
  parametersOf,
  transposed,
  type ExportedModel,
  type FloatTensor,
} from './exported-model.ts';
import { OUT_IN_ROW_COLUMN, paddingAfter } from './channels-first.ts';

/** A module of a torch.nn.Sequential. */
interface TorchModule {
  /** As Python; undefined if PyTorch has no such module. */
  readonly python: string | undefined;
  readonly weight?: FloatTensor;
  readonly bias?: FloatTensor;
}

/**
 * The weights for a torch.nn.Sequential, by the names of its state_dict: the number of the module
 * and "weight" or "bias". The metadata contains the module as Python.
 */
export function torchFile({ model, weights, metadata }: ExportedModel): Uint8Array {
  let from: Volume = { height: model.rows, width: model.columns, channels: 1 };
  /** The image that a flatten has made a vector of; its kernel is still in our order. */
  let flattened: Volume | undefined;
  const modules: TorchModule[] = [];
  for (const converted of convert(model)) {
    const { layer, operation, output } = converted;
    if (layer.kind === 'flatten') flattened ??= from;
    modules.push(...modulesOf(converted, flattened, weights));
    if (operation?.kind === 'dense') flattened = { height: 1, width: 1, channels: operation.units };
    from = output;
  }
  const tensors = modules.flatMap(({ weight, bias }, at): Tensor[] =>
    weight === undefined || bias === undefined
      ? []
      : [
          { name: `${at}.weight`, ...weight },
          { name: `${at}.bias`, ...bias },
        ],
  );
  const python = modules.map((module) => module.python);
  const isWhole = python.every((text) => text !== undefined);
  return encodeTensors({
    metadata: {
      format: 'pt',
      ...(isWhole ? { module: `torch.nn.Sequential(${python.join(', ')})` } : {}),
      ...metadataTexts(metadata),
    },
    tensors,
  });
}

function modulesOf(
  { layer, operation }: ConvertedLayer,
  flattened: Volume | undefined,
  weights: Float32Array,
): TorchModule[] {
  if (layer.kind === 'flatten') return [module('Flatten')];
  if (layer.kind === 'dropout') return [module('Dropout', layer.rate)];
  switch (operation?.kind) {
    case undefined:
    case 'dropout':
      return [];
    case 'max_pooling2d':
    case 'average_pooling2d':
      return poolingModules(operation);
    case 'conv2d':
      return [convolutionModules(operation, weights), activationModules(operation)].flat();
    case 'dense': {
      const { inputs, units } = operation;
      const { kernel, bias } = parametersOf(operation, weights);
      const weight = denseWeight(operation, kernel, flattened);
      return [
        { ...module('Linear', inputs, units), weight, bias },
        ...activationModules(operation),
      ];
    }
  }
}

function activationModules({ activation }: Convolution | Dense): TorchModule[] {
  return activation === 'relu' ? [module('ReLU')] : [];
}

/** [out, in], where the values of an image are ordered by channel, row and column. */
function denseWeight(
  { inputs, units }: Dense,
  kernel: FloatTensor,
  flattened: Volume | undefined,
): FloatTensor {
  const { height, width, channels } = flattened ?? { height: 1, width: 1, channels: inputs };
  const image = { shape: [height, width, channels, units], data: kernel.data };
  return { shape: [units, inputs], data: transposed(image, OUT_IN_ROW_COLUMN).data };
}

function convolutionModules(operation: Convolution, weights: Float32Array): TorchModule[] {
  const { from, to, window } = operation;
  const { kernel, bias } = parametersOf(operation, weights);
  const { before, pad } = paddingOf(operation, 'ZeroPad2d');
  const channels = [from.channels, to.channels];
  const convolution = module('Conv2d', ...channels, window.size, window.strides, before);
  return [...pad, { ...convolution, weight: transposed(kernel, OUT_IN_ROW_COLUMN), bias }];
}

function poolingModules(operation: Pooling): TorchModule[] {
  const { size, strides } = operation.window;
  const isMaximum = operation.kind === 'max_pooling2d';
  const { before, pad } = paddingOf(operation, 'ConstantPad2d', "float('-inf')");
  if (isMaximum) return [...pad, module('MaxPool2d', size, strides, before)];
  // Its mean would include padding by another module.
  if (pad.length > 0) return [{ python: undefined }];
  return [module('AvgPool2d', size, strides, before, 'False', 'False')];
}

/** The padding that a module does itself, or a module that does it if its sides differ. */
function paddingOf(
  { from, to, window }: Pick<Pooling, 'from' | 'to' | 'window'>,
  name: string,
  ...value: readonly string[]
): { before: readonly number[]; pad: TorchModule[] } {
  const [top, left] = window.before;
  const [bottom, right] = paddingAfter({ from, to, window });
  if (top === bottom && left === right) return { before: window.before, pad: [] };
  return { before: [0, 0], pad: [module(name, [left, right, top, bottom], ...value)] };
}

function module(
  name: string,
  ...values: readonly (number | string | readonly number[])[]
): TorchModule {
  const texts = values.map((value) => (typeof value === 'object' ? tuple(value) : String(value)));
  return { python: `torch.nn.${name}(${texts.join(', ')})` };
}

function tuple(values: readonly number[]): string {
  return `(${values.join(', ')})`;
}
