import { join } from 'node:path';
import { z } from 'zod';
import { linesIfThere } from '../../coordinator/run-directory/run-contents.ts';
import { evaluatedSets } from '../../shared/evaluation/evaluated-set.ts';
import { EVENTS_FILE } from '../../shared/files/run-layout.ts';
import { MAX_CLASSES } from '../../shared/limits.ts';
import { eventsFrom } from '../feed/event-lines.ts';
import type { BoardEvaluation } from './api.ts';
import type { ListedRun } from './runs-folder.ts';

const evaluationSchema = z.object({
  set: z.enum(evaluatedSets).default('test'),
  step: z.int().min(0),
  confusion: z.array(z.array(z.int().min(0)).max(MAX_CLASSES)).max(MAX_CLASSES),
});

/** The newest confusion matrix of a run; undefined if there is none. */
export async function evaluationOf({
  directory,
  record,
}: ListedRun): Promise<BoardEvaluation | undefined> {
  const { class_names: classNames, sha256: dataset } = record.dataset;
  if (record.result !== undefined) {
    const { confusion } = record.result.test;
    const step = record.model?.step ?? record.step;
    return { set: 'test', step, confusion, classNames, dataset };
  }
  let newest: z.infer<typeof evaluationSchema> | undefined;
  for await (const event of eventsFrom(linesIfThere(join(directory, EVENTS_FILE))))
    if (event.event === 'evaluation') newest = evaluationSchema.safeParse(event).data ?? newest;
  return newest === undefined ? undefined : { ...newest, classNames, dataset };
}
