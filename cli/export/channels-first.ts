import type { Pooling, Window } from '../../shared/arithmetic/model-shape.ts';

// ONNX and PyTorch have the channels of an image before its rows and columns.

/** The axes of a kernel [height, width, in, out] in their order. */
export const OUT_IN_ROW_COLUMN = [3, 2, 0, 1];

/** Rows below and columns right of the image that the last window covers. */
export function paddingAfter({
  from,
  to,
  window: { size, strides, before },
}: Pick<Pooling, 'from' | 'to'> & { readonly window: Window }): [number, number] {
  return [
    Math.max(0, (to.height - 1) * strides[0] + size[0] - from.height - before[0]),
    Math.max(0, (to.width - 1) * strides[1] + size[1] - from.width - before[1]),
  ];
}
