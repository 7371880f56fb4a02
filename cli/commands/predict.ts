import { MNIST_DIGEST } from '../../shared/dataset/dataset.ts';
import { ClusterError, errorTable } from '../../shared/errors.ts';
import { chooseModel, layoutOf, unnamedText, type ChosenModel } from '../runs/choose-model.ts';
import {
  checkPrediction,
  classifyFile,
  classNameOf,
  type PictureModel as Classifier,
} from '../models/picture-model.ts';
import type { CommandLine, PredictOptions } from '../options/options.ts';
import { stderr, stdout } from '../terminal/output.ts';
import { predictionLines, type Prediction } from '../terminal/prediction-text.ts';
import { createLogger } from '../terminal/log.ts';
import { restoreSignals } from '../processes/signals.ts';
import { onStop } from '../processes/supervised.ts';
import { retryPolicyOf } from '../runs/transfer.ts';

/**
 * `mnist-dist predict`: prints the model's prediction for each picture. Reports and skips files
 * that are not pictures. Rejects with DIVERGED if the model's probabilities are not finite.
 */
export async function predict(
  { model: named, runsDir, format, data }: PredictOptions,
  { operands: files }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  const stopping = new AbortController();
  const release = onStop((code) => stopping.abort(new ClusterError(code, 'stopped')));
  const log = createLogger({ level: 'warn', format: 'text', destination: stderr });
  const chosen = await chooseModel(named, runsDir, retryPolicyOf(stopping.signal, log)).finally(
    release,
  );
  checkPrediction(chosen);
  // JavaScript handles no signal while it computes.
  restoreSignals();
  const model: PictureModel = { ...chosen, layout: await layoutOf(chosen, data) };
  if (!model.layout.isNamed) log.warn({}, unnamedText(model));
  const printer = printers[format];
  const images: Prediction[] = [];
  const skipped: Skipped[] = [];
  printer.begin(model);
  for (const file of files) {
    try {
      const image = { file, ...(await classifyFile(model, file)) };
      images.push(image);
      printer.image(image, model);
    } catch (error) {
      if (!(error instanceof ClusterError) || error.code !== 'IMAGE') throw error;
      skipped.push({ file, reason: error.message });
      stderr.write(`mnist-dist: ${error.message}`);
      if (error.fix !== undefined) stderr.write(`  ${error.fix}`);
    }
  }
  printer.end(model, images, skipped);
  return skipped.length === 0 ? 0 : errorTable.IMAGE.exit;
}

type PictureModel = ChosenModel & Classifier;

/** A file that is not a picture. */
interface Skipped {
  readonly file: string;
  readonly reason: string;
}

/** Prints the results in one output format. */
interface Printer {
  begin(model: PictureModel): void;
  image(image: Prediction, model: PictureModel): void;
  end(model: PictureModel, images: readonly Prediction[], skipped: readonly Skipped[]): void;
}

const nothing = (): void => undefined;

const printers: Readonly<Record<PredictOptions['format'], Printer>> = {
  text: {
    begin: ({ name, step, own }) => {
      stdout.write(`${name}, step ${step}`);
      if (own.digest === MNIST_DIGEST) return;
      const dataset = own.name ?? 'a dataset other than MNIST';
      stdout.write(
        `Trained with ${dataset}: pictures must match its classes, size and orientation.`,
      );
    },
    image: (image, { layout: { classNames } }) =>
      stdout.write('', ...predictionLines(image, classNames, stdout.columns, stdout.style)),
    end: nothing,
  },
  json: {
    begin: nothing,
    image: nothing,
    end: ({ name, step, layout: { classNames } }, images, skipped) => {
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
      stdout.json(document);
    },
  },
  csv: {
    begin: ({ layout: { classNames } }) =>
      stdout.csv([
        'file',
        'predicted',
        'class',
        ...classNames.map((name) => `probability of ${name}`),
      ]),
    image: (image, { layout: { classNames } }) =>
      stdout.csv([
        image.file,
        image.predicted,
        classNameOf(image, classNames),
        ...image.probabilities,
      ]),
    end: nothing,
  },
};
