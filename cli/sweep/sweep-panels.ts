import type { SweepPanel, SweepPicture } from '../../artifacts/report/sweep-picture.ts';
import { percent } from '../../shared/text/number-format.ts';
import { optionOf } from '../options/options.ts';
import { parseGiven } from '../options/origin.ts';
import type { SweepFile, Varied } from './sweep-file.ts';
import type { SweepReport } from './sweep-report.ts';
import { ranked } from './trial-results.ts';

/** The picture of a sweep: a panel for each option, the most important one first. */
export function pictureOf({ vary }: SweepFile, report: SweepReport): SweepPicture {
  const trials = ranked(report.trials);
  const panels = report.importance.flatMap(({ option, explained }): SweepPanel[] => {
    const varied = vary.find(({ name }) => name === option);
    if (varied === undefined) return [];
    const part = explained === undefined ? '' : `: explains ${percent(explained, 0)}`;
    return [
      {
        title: `${option}${part}`,
        ...scaleOf(varied),
        of: trials.map(({ values }) => values[option] ?? ''),
      },
    ];
  });
  const set = trials[0]?.set ?? 'validation';
  return {
    title: `Best ${set} accuracy of ${trials.length} trials`,
    panels,
    accuracies: trials.map(({ best }) => best.accuracy),
  };
}

function scaleOf({ key, from }: Varied): Pick<SweepPanel, 'scale' | 'values'> {
  if ('low' in from)
    return {
      scale: from.isLogarithmic ? 'log' : 'linear',
      values: [String(from.low), String(from.high)],
    };
  const { type } = optionOf(key);
  return {
    scale: 'list',
    values: from.map((given) => type.format(parseGiven(key, given) ?? '')),
  };
}
