import { describe, expect, it } from 'vitest';
import {
  parseRunRecord,
  runJsonSchema,
  runRecordSchema,
} from '../../../../shared/files/run-schema.ts';
import { sampleRun } from '../../../fixtures/run-record.ts';

const finished = {
  ...sampleRun,
  state: 'finished',
  result: {
    test: {
      loss: 0.1,
      accuracy: 0.5,
      confusion: [
        [1, 0],
        [1, 0],
      ],
    },
    steps_per_second: null,
  },
};

describe('run.json', () => {
  it('is read as it was written', () => {
    expect(parseRunRecord(JSON.stringify(sampleRun), 'f')).toEqual(sampleRun);
    expect(parseRunRecord(JSON.stringify(finished), 'f')).toEqual(finished);
  });

  it.each([
    ['state', 'lost'],
    ['format', 2],
    ['run', '../r'],
    ['chain', 'x'],
    ['started', 'yesterday'],
    ['surprise', 1],
    ['configuration', { ...sampleRun.configuration, batch_size: 1, virtual_shards: 2 }],
  ])('rejects %s = %j, and names the file', (key, value) => {
    const text = JSON.stringify({ ...sampleRun, [key]: value });
    expect(() => parseRunRecord(text, 'runs/r/run.json')).toThrow(
      /^runs\/r\/run\.json is not a run of format 1/,
    );
  });

  it('rejects text that is not JSON', () => {
    expect(() => parseRunRecord('{', 'f')).toThrow('f is not JSON');
  });

  it('has a JSON Schema that requires the same fields as the parser', () => {
    const schema = runJsonSchema();
    expect(schema).toMatchObject({ type: 'object', additionalProperties: false });
    const optional = [
      'ended',
      'engine',
      'model',
      'workers_from_step',
      'suspects',
      'result',
      'best',
      'stopped_early',
      'error',
    ];
    const required = Object.keys(runRecordSchema.shape).filter((key) => !optional.includes(key));
    expect(schema).toHaveProperty('required', required);
  });
});
