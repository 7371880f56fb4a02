/** The formats of `mnist-dist export`. */
export const exportFormats = ['onnx'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** What other programs call them. */
export const formatSynonyms = {
  'onnx-runtime': 'onnx',
  onnxruntime: 'onnx',
} as const;
