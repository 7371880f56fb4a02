import * as limits from '../../../shared/limits.ts';
import { exportFormats, formatSynonyms } from '../../export/export-formats.ts';
import { trainingCommands, withDefault, withoutDefault } from '../option.ts';
import { logLevelSynonyms } from '../synonyms.ts';
import { choice, decimal, flag, integer, path } from '../value-types.ts';

const loggers = [
  'local',
  'coordinator',
  'sweep',
  'worker',
  'show',
  'board',
  'verify',
  'eval',
  'push',
  'pull',
] as const;

export const outputOptions = {
  to: withoutDefault(choice(exportFormats, formatSynonyms), {
    in: ['export'],
    help: 'format to write the model in; safetensors is for PyTorch',
  }),
  out: withoutDefault(path('DIR', 'a folder'), {
    in: ['eval', 'data', 'export', 'dashboards', 'certs'],
    help:
      'output folder; created if missing (default: mnist-dist-dashboards or certs; ' +
      'eval: a new folder in the run directory; export: the folder export in it; ' +
      'data: none, and no contact-sheet.png)',
  }),
  overwrite: withDefault(flag, false, {
    in: ['export', 'dashboards'],
    help: 'replace files that exist and differ (dashboards: only those of mnist-dist)',
  }),
  days: withDefault(
    integer({ min: 1, max: limits.MAX_CERTIFICATE_DAYS }),
    limits.DEFAULT_CERTIFICATE_DAYS,
    { in: ['certs'], help: 'number of days that certificates are valid' },
  ),
  artifacts: withoutDefault(path('URI', 'file:DIR or s3://BUCKET/PREFIX'), {
    in: trainingCommands,
    help: 'store to upload the finished run to; `mnist-dist push` completes an interrupted upload',
  }),
  pictures: withDefault(flag, true, {
    in: ['local', 'coordinator', 'show', 'board', 'eval'],
    help:
      'draw the report and its pictures at the end; --no-pictures switches this off ' +
      '(show, board: pictures of the mistakes)',
  }),
  format: withDefault(choice(['text', 'json', 'csv']), 'text', {
    in: ['eval', 'predict', 'data', 'runs', 'compare', 'sweep'],
    help: 'output for people, programs or spreadsheets',
  }),
  failUnder: withoutDefault(
    decimal('a number from 0 to 1', (x) => x >= 0 && x <= 1),
    { in: ['eval'], help: 'fail if the accuracy is below this ratio' },
  ),
  json: withDefault(flag, false, { in: ['doctor', 'bench'], help: 'print JSON' }),
  progress: withDefault(flag, true, {
    in: [...trainingCommands, 'sweep'],
    help: 'show a progress line; --no-progress switches it off',
  }),
  logLevel: withDefault(choice(['debug', 'info', 'warn', 'error'], logLevelSynonyms), 'info', {
    in: loggers,
    help: 'lowest log level to show',
  }),
  logFormat: withDefault(choice(['text', 'json']), 'text', {
    in: loggers,
    help: 'log lines for people or for programs',
  }),
};
