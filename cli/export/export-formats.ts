/** The formats of `mnist-dist export`. */
export const exportFormats = ['onnx', 'savedmodel', 'tfjs'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** What other programs call them. */
export const formatSynonyms = {
  'onnx-runtime': 'onnx',
  onnxruntime: 'onnx',
  tf: 'savedmodel',
  'saved-model': 'savedmodel',
  tensorflow: 'savedmodel',
  pb: 'savedmodel',
  js: 'tfjs',
  'tensorflow-js': 'tfjs',
  'tfjs-layers-model': 'tfjs',
} as const;
