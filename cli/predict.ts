import { printedCsv } from '../artifacts/csv.ts';
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
  const output = outputs[format];
  const images: Prediction[] = [];
  const skipped: Skipped[] = [];
  stdout.write(output.begin(model));
  for (const file of files) {
    try {
      const image = await predictOne(file, model);
      images.push(image);
      stdout.write(output.image(image, model));
    } catch (error) {
      if (!(error instanceof ClusterError) || error.code !== 'IMAGE') throw error;
      skipped.push({ file, reason: error.message });
      stderr.write(`mnist-dist: ${printable(error.message)}\n`);
      if (error.fix !== undefined) stderr.write(`  ${printable(error.fix)}\n`);
    }
  }
  stdout.write(output.end(model, images, skipped));
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

/** A file that is no picture. */
interface Skipped {
  readonly file: string;
  readonly reason: string;
}

/** What is printed before, for and after the pictures. */
interface Output {
  begin(model: ChosenModel): string;
  image(image: Prediction, model: ChosenModel): string;
  end(model: ChosenModel, images: readonly Prediction[], skipped: readonly Skipped[]): string;
}

const outputs: Readonly<Record<PredictOptions['format'], Output>> = {
  text: {
    begin: ({ name, step }) => `${printable(name)}, step ${step}\n`,
    image: (image, { classNames }) => {
      const { stdout } = process;
      const style = styleOf(stdout, process.env);
      return `\n${predictionLines(image, classNames, columnsOf(stdout), style).join('\n')}\n`;
    },
    end: () => '',
  },
  json: {
    begin: () => '',
    image: () => '',
    end: ({ name, step, classNames }, images, skipped) => {
      const document = {
        model: name,
        step,
        class_names: classNames,
        images: images.map((image) => ({
          file: image.file,
          predicted: image.predicted,
          class_name: classNameOf(image, classNames),
          probabilities: image.probabilities,
        })),
        skipped,
      };
      return `${JSON.stringify(document, undefined, 2)}\n`;
    },
  },
  csv: {
    begin: ({ classNames }) =>
      printedCsv([['file', 'predicted', 'class', ...classNames.map((name) => `probability of ${name}`)]]),
    image: (image, { classNames }) =>
      printedCsv([[image.file, image.predicted, classNameOf(image, classNames), ...image.probabilities]]),
    end: () => '',
  },
};

function classNameOf({ predicted }: Prediction, classNames: readonly string[]): string {
  return classNames[predicted] ?? String(predicted);
}
