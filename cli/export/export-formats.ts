/** The formats of `mnist-dist export`. */
export const exportFormats = ['onnx', 'savedmodel', 'tfjs', 'keras', 'safetensors'] as const;
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
  keras3: 'keras',
  h5: 'keras',
  hdf5: 'keras',
  torch: 'safetensors',
  pytorch: 'safetensors',
  pt: 'safetensors',
  pth: 'safetensors',
} as const;
