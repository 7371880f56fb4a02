import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { expectSame, readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal } from '../../fixtures/processes/options.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** The part of the Trace Event Format that a trace uses. */
const trace = z.strictObject({
  displayTimeUnit: z.literal('ms'),
  traceEvents: z.array(
    z.discriminatedUnion('ph', [
      z.strictObject({
        ph: z.literal('X'),
        name: z.string(),
        cat: z.string(),
        ts: z.number().min(0),
        dur: z.number().min(0),
        pid: z.int(),
        tid: z.int(),
        args: z.looseObject({ step: z.int() }),
      }),
      z.strictObject({
        ph: z.literal('M'),
        name: z.enum(['process_name', 'thread_name']),
        pid: z.int(),
        tid: z.int(),
        args: z.strictObject({ name: z.string() }),
      }),
    ]),
  ),
});

const local = (runs: string) => [...quickLocal(runs), '-n', '2', '--steps', '30', '--no-http'];

it('--trace writes what the coordinator and the workers did, and changes no byte', async () => {
  const runs = [temporaryFolder(), temporaryFolder()] as const;
  const file = join(runs[0], 'trace.json');
  const traced = await run([...local(runs[0]), '--trace', file, '--trace-steps', '5..9']);
  expect(traced.code, traced.output).toBe(0);
  expect(traced.output).toContain(`the trace of 5 steps is ${file}`);
  const { traceEvents } = trace.parse(JSON.parse(readFileSync(file, 'utf8')));
  const processes = traceEvents.filter(({ name }) => name === 'process_name');
  const names = processes.map(({ args }) => args['name']);
  expect(names.toSorted()).toEqual(['coordinator', 'worker w0', 'worker w1']);
  const spans = traceEvents.filter((event) => event.ph === 'X');
  for (let step = 5; step <= 9; step++) {
    const own = spans.filter(({ args }) => args.step === step);
    const whole = own.find(({ name }) => name === `step ${step}`);
    for (const name of ['send', 'wait', 'receive', 'sum', 'update', 'weights', 'batch', 'compute'])
      expect(own.map((span) => span.name)).toContain(name);
    const computed = own.filter(({ name }) => name === 'compute');
    expect(new Set(computed.map(({ pid }) => pid)).size).toBe(2);
    for (const { ts, dur } of computed) {
      expect(ts).toBeGreaterThanOrEqual(whole?.ts ?? Infinity);
      expect(ts + dur).toBeLessThanOrEqual((whole?.ts ?? 0) + (whole?.dur ?? 0));
    }
  }
  const plain = await run(local(runs[1]));
  expect(plain.code, plain.output).toBe(0);
  expectSame(readRun(join(runs[0], 'r')), readRun(join(runs[1], 'r')));
});

it('a trace that cannot be written, or has no step, does not end a run', async () => {
  const runs = temporaryFolder();
  const [file, steps] = ['/proc/self/trace.json', '31..40'];
  const never = await run([...local(runs), '--trace', join(runs, 't'), '--trace-steps', steps]);
  expect(never.code, never.output).toBe(0);
  expect(never.output).toContain('there is no trace: none of the steps 31 to 40 was computed');
  expect(existsSync(join(runs, 't'))).toBe(false);
  const refused = await run([
    ...local(temporaryFolder()),
    '--trace',
    file,
    '--trace-steps',
    '1..2',
  ]);
  expect(refused.code, refused.output).toBe(0);
  expect(refused.output).toMatch(/warning: there is no trace: .*\/proc\/self\/trace\.json/);
});
