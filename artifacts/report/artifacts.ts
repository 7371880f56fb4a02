import { hash } from 'node:crypto';
import { misclassifiedLines } from '../../shared/evaluation/misclassified.ts';
import { perClass } from '../../shared/evaluation/per-class.ts';
import { type ArtifactsManifest } from '../../shared/files/artifacts-manifest.ts';
import { type Artifact, jsonArtifact, pngArtifact, svgArtifact, textArtifact } from './artifact.ts';
import { light } from './colours.ts';
import { contactSheetSvg } from './contact-sheet.ts';
import { curveSvg } from './curve-picture.ts';
import { type TrainingCurve, trainingCurve } from './training-curve.ts';
import { count } from '../../shared/text/number-format.ts';
import { matrixSvg } from './matrix-picture.ts';
import { toPng } from './raster.ts';
import { visible } from '../../shared/printable.ts';
import { report } from './report.ts';
import type { Evaluation, Subject } from './subject.ts';
import { confusionCsv, confusionTable, perClassCsv, summary } from './tables.ts';
import {
  ARTIFACTS_MANIFEST,
  MISTAKES_FILE,
  REPORT_FILE,
  SUMMARY_FILE,
} from '../../shared/files/run-layout.ts';

/**
 * All files in artifacts/, in the order in which they are written: the numbers, their pictures, the
 * report, and finally the manifest. The same evaluation always gives the same bytes, on any
 * machine. Takes about two seconds on one core.
 */
export async function artifactsOf(evaluation: Evaluation): Promise<Artifact[]> {
  const { subject, score, wrong, metrics } = evaluation;
  const { classNames } = subject.dataset;
  const curve = metrics && trainingCurve(metrics);
  const scores = perClass(score.confusion);
  const table = confusionTable(score.confusion, classNames);
  const files = [
    jsonArtifact(SUMMARY_FILE, summary(evaluation, scores, curve)),
    jsonArtifact('confusion_matrix.json', table),
    textArtifact('confusion_matrix.csv', 'text/csv; charset=utf-8', confusionCsv(table)),
    textArtifact('per_class.csv', 'text/csv; charset=utf-8', perClassCsv(scores, classNames)),
    textArtifact(MISTAKES_FILE, 'application/x-ndjson', misclassifiedLines(wrong)),
    ...(await picture(
      'confusion_matrix',
      await matrixSvg(table, light, titleOf('Confusion matrix', subject, score)),
    )),
    ...(curve === undefined ? [] : await curves(curve, subject)),
    pngArtifact('misclassified.png', await toPng(await contactSheetSvg(evaluation))),
    textArtifact(
      REPORT_FILE,
      'text/html; charset=utf-8',
      await report(evaluation, { scores, table, curve }),
    ),
  ];
  return [...files, manifest(files)];
}

function manifest(artifacts: readonly Artifact[]): Artifact {
  const content: ArtifactsManifest = {
    format: 1,
    files: artifacts.map(({ name, type, bytes }) => ({
      name,
      size: bytes.length,
      sha256: hash('sha256', bytes, 'hex'),
      type,
    })),
  };
  return jsonArtifact(ARTIFACTS_MANIFEST, content);
}

async function curves(curve: TrainingCurve, { run }: Subject): Promise<Artifact[]> {
  const of = run === undefined ? '' : ` of ${visible(run)}`;
  return [
    ...(await picture('loss', await curveSvg(curve, 'loss', light, `Loss${of}`))),
    ...(await picture('accuracy', await curveSvg(curve, 'accuracy', light, `Accuracy${of}`))),
  ];
}

async function picture(name: string, svg: string): Promise<Artifact[]> {
  return [svgArtifact(`${name}.svg`, svg), pngArtifact(`${name}.png`, await toPng(svg))];
}

function titleOf(
  what: string,
  { dataset }: Subject,
  { samples }: { readonly samples: number },
): string {
  return `${what}, ${count(samples)} ${dataset.split} samples`;
}
