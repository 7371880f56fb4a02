import { drawingOf } from '../image/drawing.ts';
import { readPng } from '../image/png.ts';
import { probabilities } from '../page/network.ts';
import { normalise } from '../page/normalise.ts';
import { ClusterError, errorTable } from '../shared/errors.ts';
import { chooseModel, type ChosenModel } from './choose-model.ts';
import type { PredictOptions } from './options.ts';
import { predictionLines, type Prediction } from './prediction-text.ts';
import { printable } from './printable.ts';
import { columnsOf } from './screen.ts';
import { createLogger } from './log.ts';
import { styleOf } from './style.ts';
import { onStop } from './supervised.ts';
import { patienceOf } from './transfer.ts';

/** `mnist-dist predict`: what the model takes each picture for. A file that is no picture is named and passed over. */
export async function predict(
  { model: named, runsDir, format }: PredictOptions,
  files: readonly string[],
): Promise<number> {
  const stopping = new AbortController();
  const release = onStop((code) => stopping.abort(new ClusterError(code, 'stopped')));
  const log = createLogger({ level: 'warn', format: 'text', destination: process.stderr });
  const model = await chooseModel(named, runsDir, patienceOf(stopping.signal, log)).finally(release);
  const { stdout, stderr } = process;
  const images: Prediction[] = [];
  const skipped: { file: string; reason: string }[] = [];
  if (format === 'text') stdout.write(`${printable(model.name)}, step ${model.step}\n`);
  for (const file of files) {
    try {
      const image = await predictOne(file, model);
      if (format === 'json') images.push(image);
      else {
        const lines = predictionLines(
          image,
          model.classNames,
          columnsOf(stdout),
          styleOf(stdout, process.env),
        );
        stdout.write(`\n${lines.join('\n')}\n`);
      }
    } catch (error) {
      if (!(error instanceof ClusterError) || error.code !== 'IMAGE') throw error;
      skipped.push({ file, reason: error.message });
      stderr.write(`mnist-dist: ${printable(error.message)}\n`);
      if (error.fix !== undefined) stderr.write(`  ${printable(error.fix)}\n`);
    }
  }
  if (format === 'json') stdout.write(`${JSON.stringify(report(model, images, skipped), undefined, 2)}\n`);
  return skipped.length === 0 ? 0 : errorTable.IMAGE.exit;
}

async function predictOne(
  file: string,
  { configuration, weights, rows, columns }: ChosenModel,
): Promise<Prediction> {
  const drawing = drawingOf(await readPng(file));
  if (drawing === undefined) {
    throw new ClusterError('IMAGE', `${file}: it is blank`, {
      fix: 'its border must be paper, and ink of another colour stand out from it',
    });
  }
  const picture = normalise(drawing, rows, columns);
  const found = [...probabilities(configuration.model, weights, picture.pixels)];
  return { file, picture, predicted: found.indexOf(Math.max(...found)), probabilities: found };
}

function report(
  { name, step, classNames }: ChosenModel,
  images: readonly Prediction[],
  skipped: readonly { file: string; reason: string }[],
): object {
  return {
    ...{ model: name, step, class_names: classNames },
    images: images.map(({ file, predicted, probabilities }) => ({
      ...{ file, predicted, class_name: classNames[predicted] ?? String(predicted), probabilities },
    })),
    skipped,
  };
}
