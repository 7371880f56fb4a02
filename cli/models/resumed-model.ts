import { denseSettings, type Layer, type ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { layerText, modelText } from '../../shared/arithmetic/model-text.ts';
import type { OptionKey } from '../options/options.ts';
import { chooseLayers, type ModelOptions } from './choose-layers.ts';

/**
 * How explicit --model, --hidden and --dropout differ from the model of the run that is resumed,
 * one string per difference: "--hidden 64, not 128".
 */
export function differingModel(
  options: ModelOptions,
  explicit: ReadonlySet<OptionKey>,
  recorded: ModelShape,
): string[] {
  const { model: name, hidden, dropout } = options;
  const dense = denseSettings(recorded);
  const asked = (['model', 'hidden', 'dropout'] as const).filter((key) => explicit.has(key));
  if (asked.length === 0) return [];
  if (name === undefined || name === 'mlp') {
    if (dense === undefined) {
      const model = `--model ${modelText(recorded)}`;
      if (explicit.has('model')) return [`${model}, not mlp`];
      return asked.map((key) => `${model}, which has no --${key}`);
    }
    return asked.flatMap((key) => {
      if (key === 'model') return [];
      const [ours, theirs] =
        key === 'hidden' ? [hidden.join(), dense.hidden.join()] : [dropout, dense.dropout];
      return ours === theirs ? [] : [`--${key} ${theirs}, not ${ours}`];
    });
  }
  const { layers } = chooseLayers(options);
  const texts = (all: readonly Layer[]) => all.map(layerText);
  const [ours, theirs] = [texts(layers), texts(recorded.layers)];
  const at = Array.from({ length: Math.max(ours.length, theirs.length) }).findIndex(
    (_, i) => ours[i] !== theirs[i],
  );
  if (at < 0) return [];
  return [`layer ${at + 1} of --model is ${theirs[at] ?? 'missing'}, not ${ours[at] ?? 'missing'}`];
}
