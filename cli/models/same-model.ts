import { accepts, parameterCount, type ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { layerText, modelText } from '../../shared/arithmetic/model-text.ts';
import { count } from '../../shared/text/number-format.ts';

/**
 * Whether weights of one model can be used in the other. Dropout layers may differ: they have no
 * weights, and only training has them.
 */
export function isSameModel(ours: ModelShape, theirs: ModelShape): boolean {
  const layersOf = (model: ModelShape) =>
    model.layers
      .filter(({ kind }) => kind !== 'dropout')
      .map(layerText)
      .join();
  const isSameImage = accepts(ours, theirs.rows, theirs.columns);
  return isSameImage && ours.classes === theirs.classes && layersOf(ours) === layersOf(theirs);
}

/** A model in one line: its layers, images, classes and parameters. */
export function modelSummary(model: ModelShape): string {
  const { rows, columns, classes } = model;
  return (
    `${modelText(model)} for images of ${rows} x ${columns} pixels in ${classes} classes, ` +
    `${count(parameterCount(model))} parameters`
  );
}
