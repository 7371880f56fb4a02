import type { ExportedFile, ExportedModel } from './exported-model.ts';
import type { ExportFormat } from './export-formats.ts';
import { kerasFile } from './keras-file.ts';
import { onnxModel } from './onnx.ts';
import { savedModelFiles } from './saved-model.ts';
import { tfjsFiles } from './tfjs-layers.ts';
import { torchFile } from './torch-tensors.ts';

/** The files of a model in a format; those of a format with several files are in a folder. */
export function exportFiles(format: ExportFormat, model: ExportedModel): ExportedFile[] {
  switch (format) {
    case 'onnx':
      return [{ name: 'model.onnx', bytes: onnxModel(model) }];
    case 'savedmodel':
      return inFolder('saved_model', savedModelFiles(model));
    case 'tfjs':
      return inFolder('tfjs', tfjsFiles(model));
    case 'keras':
      return [{ name: 'model.keras', bytes: kerasFile(model) }];
    case 'safetensors':
      // Not model.safetensors, which is the name of a run's own model.
      return [{ name: 'pytorch.safetensors', bytes: torchFile(model) }];
  }
}

function inFolder(folder: string, files: readonly ExportedFile[]): ExportedFile[] {
  return files.map(({ name, bytes }) => ({ name: `${folder}/${name}`, bytes }));
}
