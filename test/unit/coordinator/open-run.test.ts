import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint } from '../../../shared/files/checkpoint-file.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { engineFixture } from '../../fixtures/engine-identity.ts';
import {
  configuration,
  FINGERPRINT,
  honest,
  makeUp,
  verifyMadeUp,
} from '../../fixtures/recorded-run.ts';

// A pulled run has no checkpoints, since a store does not keep any.
it.each([
  ['finished', undefined, 12, false],
  ['interrupted', 7, 7, false],
  ['finished', undefined, 12, true],
  ['interrupted', 7, 7, true],
] as const)(
  'a run that is %s without a checkpoint is neither resumed nor changed: %s, %s, mixed %s',
  async (state, until, step, mixed) => {
    const runs = temporaryFolder();
    const resume = await makeUp({ runs, mixed, ...(until === undefined ? {} : { until }) });
    rmSync(join(resume, 'checkpoints'), { recursive: true });
    const files = () =>
      ['run.json', 'metrics.jsonl', 'events.jsonl'].map((name) =>
        readFileSync(join(resume, name), 'utf8'),
      );
    const before = files();
    for (const steps of [12, 20]) {
      await expect(
        makeUp({ runs, resume, configuration: { ...configuration, steps } }),
      ).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(
          `is ${state} at step ${step} (run.json), but checkpoints/ has no checkpoint`,
        ),
        fix: expect.stringContaining('resume it on the machine where it ran'),
      });
    }
    expect(files()).toEqual(before);
  },
);

it("a killed run's record has its engine, but no steps, whose lines may be lost", async () => {
  const runs = temporaryFolder();
  const resume = await makeUp({ runs, until: 7, isKilled: true });
  const record = () => JSON.parse(readFileSync(join(resume, 'run.json'), 'utf8'));
  const engine = { description: engineFixture, fingerprint: FINGERPRINT, reproducible: true };
  expect(record()).toMatchObject({ state: 'running', step: 0, engine });
  expect(record()).not.toHaveProperty('ended');
  expect(await verifyMadeUp(resume)).toMatchObject({ step: 7 });
  await makeUp({ runs, resume });
  expect(record()).toMatchObject({ state: 'finished', step: 12, engine });
});

it('a run with mixed engines may resume with different results, but not be replayed', async () => {
  const runs = temporaryFolder();
  const resume = await makeUp({ runs, until: 7 });
  await makeUp({ runs, resume, until: 10 });
  // A crash after step 10 leaves no record of which engine computed which step.
  rmSync(join(resume, 'checkpoints', 'step-0000000010.safetensors'));
  const path = join(resume, 'run.json');
  const { engine: _, ...record } = JSON.parse(readFileSync(path, 'utf8'));
  const crashed = { ...record, state: 'running', launch: { allow_mixed_engines: true } };
  writeFileSync(path, JSON.stringify(crashed));
  const other = { ...honest, loss: (step: number) => 3 / step };
  await makeUp({ runs, resume, rule: other });
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
    state: 'finished',
    engine: { reproducible: false },
  });
  const steps = readFileSync(join(resume, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"kind":"step"'));
  expect(steps.map((line) => JSON.parse(line).loss)).toEqual(
    Array.from({ length: 12 }, (_, i) => Math.fround((i < 7 ? 2 : 3) / (i + 1))),
  );
  await expect(verifyMadeUp(resume)).rejects.toMatchObject({ code: 'NOT_REPLAYABLE' });
});

it('a run that cannot start closes its files and releases its lock', async () => {
  const runs = temporaryFolder();
  const resume = await makeUp({ runs, until: 7 });
  await expect(
    makeUp({ runs, resume, configuration: { ...configuration, steps: 6 } }),
  ).rejects.toMatchObject({ code: 'USAGE' });
  expect(readdirSync(resume)).not.toContain('lock.json');
});

it('a checkpoint records where its lines end, even while steps are recomputed', async () => {
  const runs = temporaryFolder();
  const resume = await makeUp({ runs, until: 7 });
  await makeUp({ runs, resume, until: 10 });
  const path = (step: number) =>
    join(resume, 'checkpoints', `step-${String(step).padStart(10, '0')}.safetensors`);
  rmSync(path(10));
  // Steps 9 and 10 are already in metrics.jsonl.
  await makeUp({ runs, resume, until: 8 });
  const text = readFileSync(join(resume, 'metrics.jsonl'), 'utf8');
  const upTo = (step: number) =>
    text.slice(0, text.indexOf(`"step":${step + 1},`) - '{"kind":"step",'.length);
  for (const step of [7, 8]) {
    const { lines } = decodeCheckpoint(readFileSync(path(step)), path(step), configuration);
    expect(lines).toEqual({ bytes: upTo(step).length, digest: upTo(step).slice(-19, -3) });
  }
  await makeUp({ runs, resume });
  expect(await verifyMadeUp(resume)).toMatchObject({ steps: 12, checkpoints: 3, model: true });
});

it('verify finds a checkpoint with a wrong line position; the run can still resume', async () => {
  const runs = temporaryFolder();
  const resume = await makeUp({ runs, until: 7 });
  const path = join(resume, 'checkpoints', 'step-0000000007.safetensors');
  const checkpoint = decodeCheckpoint(readFileSync(path), path, configuration);
  for (const lines of [undefined, { bytes: 100, digest: 'f'.repeat(16) }]) {
    writeFileSync(path, encodeCheckpoint({ ...checkpoint, lines }));
    if (lines !== undefined)
      await expect(verifyMadeUp(resume)).rejects.toThrow(/end at byte 100, but they do not/);
    else expect(await verifyMadeUp(resume)).toMatchObject({ steps: 7, checkpoints: 1 });
  }
  const finished = await makeUp({ runs, resume });
  rmSync(path);
  expect(await verifyMadeUp(finished)).toMatchObject({ steps: 12, checkpoints: 1, model: true });
});
