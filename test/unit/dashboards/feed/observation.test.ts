import { describe, expect, it } from 'vitest';
import type { Inspection, WorkerInspection } from '../../../../coordinator/inspection.ts';
import {
  viewers,
  silentViewer,
  type OpenReport,
  type StepReport,
} from '../../../../coordinator/viewer.ts';
import {
  catalogue,
  losses,
  metricNames,
  rejections,
} from '../../../../dashboards/metrics/catalogue.ts';
import { runFacts, metricsSettings } from '../../../../dashboards/feed/facts.ts';
import { Observation } from '../../../../dashboards/feed/observation.ts';
import {
  FORGET_WORKER_MILLISECONDS,
  MAX_OBSERVED_WORKERS,
  MAX_PENDING_OBSERVATIONS,
} from '../../../../shared/limits.ts';
import { MetricsFormatter } from '../../../../shared/files/metrics.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { engineFixture } from '../../../fixtures/engine-identity.ts';
import { evaluate, scrape } from './observed.ts';

const classNames = ['a', 'b'];
const dataset = { name: 'Sample', rows: 1, columns: 2, classNames };
const counts = {
  duplicates: 1,
  fenced: 2,
  reassigned: 3,
  differing: 4,
  nonFinite: 5,
  nonFiniteSteps: 6,
  stragglerSteps: 7,
};

function worker(
  name: string,
  condition: WorkerInspection['condition'] = 'training',
): WorkerInspection {
  const traffic = { sentBytes: 100, receivedBytes: 50, queuedBytes: 5, roundTripMilliseconds: 2 };
  return { name, condition, engine: engineFixture, traffic };
}

/** An observation of a run whose inputs a test may change. */
function observe(workers: WorkerInspection[] = [worker('w0')], opening: Partial<OpenReport> = {}) {
  const time = { now: 0 };
  const disk = { isFull: false };
  const observation = new Observation({
    facts: runFacts(configurationFixture, dataset, { version: '1.2.3', isLive: true }),
    metrics: metricsSettings(configurationFixture, dataset, '1.2.3'),
    imagesOf: () => Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    clock: () => time.now,
    notRecalled: (error) => {
      throw error;
    },
  });
  const inspection: { now: Inspection } = {
    now: {
      phase: 'running',
      awaited: 1,
      counts,
      engine: engineFixture,
      workers,
      delivered: new Map([['w0', 640]]),
    },
  };
  observation.opened({
    run: 'r',
    directory: 'runs/r',
    term: 1,
    started: new Date().toISOString(),
    past: undefined,
    events: '',
    step: 0,
    epoch: 0,
    ...opening,
  });
  observation.attach({
    directory: 'runs/r',
    inspect: () => inspection.now,
    weights: () => ({ step: 1, weights: new Float32Array(1) }),
    unauthorized: () => 8,
    waitingBytes: () => 9,
    isDiskFull: () => disk.isFull,
  });
  return { observation, time, inspection, disk };
}

function step(number: number, more: Partial<StepReport> = {}): StepReport {
  return {
    step: number,
    epoch: 1,
    samples: 32,
    loss: 0.5,
    correct: 16,
    learningRate: 0.001,
    workers: 1,
    milliseconds: 4,
    updateMilliseconds: 1,
    recordMilliseconds: 0.5,
    gradientNorm: () => 3,
    ...more,
  };
}

describe('an observation', () => {
  it('exports every metric in the catalogue after one event of each kind', async () => {
    const { observation } = observe();
    observation.event('hello', {});
    observation.result({ worker: 'w0', microseconds: 1000, milliseconds: 3 });
    observation.step(step(1));
    observation.checkpoint({ step: 1, bytes: 1000, milliseconds: 20 });
    observation.checkpointFailed(2);
    evaluate(observation);
    observation.devices('w0', [
      {
        index: 0,
        utilization: 0.5,
        memoryUsedBytes: 1,
        memorySizeBytes: 2,
        temperatureCelsius: 3,
        powerWatts: 4,
      },
    ]);
    const samples = await scrape(observation);
    const exported = new Set([...samples.keys()].map((key) => key.replace(/\{.*/, '')));
    for (const name of metricNames) {
      const suffix = catalogue[name].kind === 'histogram' ? '_count' : '';
      expect(exported, name).toContain(`${name}${suffix}`);
    }
    expect(samples.get('train_samples_total{worker="w0"}')).toBe(640);
    expect(samples.get('train_loss_sum_total{}')).toBe(16);
    expect(samples.get('step_phase_duration_seconds_sum{phase="compute",worker="w0"}')).toBe(0.001);
    expect(samples.get('step_phase_duration_seconds_sum{phase="exchange",worker="w0"}')).toBe(
      0.002,
    );
    expect(samples.get('evaluation_accuracy_ratio{set="test"}')).toBe(0.5);
    expect(samples.get('confusion_matrix_samples{actual="b",predicted="a"}')).toBe(1);
    expect(samples.get('worker_heartbeat_round_trip_seconds{worker="w0"}')).toBe(0.002);
    expect(samples.get('rejected_messages_total{reason="unauthorized"}')).toBe(8);
    expect(samples.get('record_queue_bytes{}')).toBe(9);
  });

  it('counts each step once, with any number of steps between two scrapes', async () => {
    const { observation } = observe();
    const steps = MAX_PENDING_OBSERVATIONS + 10;
    for (let at = 1; at <= steps; at++) {
      observation.result({ worker: 'w0', microseconds: 1000, milliseconds: 3 });
      observation.step(step(at));
    }
    for (let scrapes = 0; scrapes < 2; scrapes++) {
      const samples = await scrape(observation);
      expect(samples.get('step_duration_seconds_count{}')).toBe(steps);
      expect(
        samples.get('step_phase_duration_seconds_count{phase="update",worker="coordinator"}'),
      ).toBe(steps);
      expect(samples.get('step_phase_duration_seconds_count{phase="compute",worker="w0"}')).toBe(
        steps,
      );
      expect(
        samples.get('step_phase_duration_seconds_sum{phase="compute",worker="w0"}'),
      ).toBeCloseTo(steps / 1000);
    }
  });

  it('begins with counts of zero, and omits values for which zero would be wrong', async () => {
    const samples = await scrape(observe([]).observation);
    for (const reason of losses)
      expect(samples.get(`worker_losses_total{reason="${reason}"}`)).toBe(0);
    for (const reason of rejections)
      expect(samples.has(`rejected_messages_total{reason="${reason}"}`)).toBe(true);
    expect(samples.get('train_steps_total{}')).toBe(0);
    for (const name of ['train_loss', 'gradient_norm', 'checkpoint_size_bytes'])
      expect(samples.has(`${name}{}`), name).toBe(false);
    for (const name of samples.keys()) expect(name).not.toMatch(/^evaluation_/);
  });

  it('limits the number of labels, and counts workers without a label together', async () => {
    const many = Array.from({ length: 100 }, (_, i) => worker(`w${i}`));
    const { observation } = observe(many);
    for (const { name } of many)
      observation.result({ worker: name, microseconds: 1, milliseconds: 1 });
    observation.step(step(1));
    observation.turn();
    const samples = await scrape(observation);
    const ups = [...samples.keys()].filter((key) => key.startsWith('worker_up'));
    expect(ups.length).toBe(MAX_OBSERVED_WORKERS + 1);
    expect(samples.get('network_sent_bytes_total{worker="other"}')).toBe(
      100 * (100 - MAX_OBSERVED_WORKERS),
    );
  });

  it('keeps the traffic of closed connections, and counts lost workers by reason', async () => {
    const { observation, inspection } = observe();
    observation.turn();
    const { traffic } = worker('w0');
    observation.left({ worker: 'w0', cause: 'connection', traffic });
    observation.left({ worker: 'w0', cause: 'TIMEOUT', traffic });
    observation.left({ worker: undefined, cause: 'PROTOCOL', traffic });
    inspection.now = { ...inspection.now, workers: [] };
    const samples = await scrape(observation);
    expect(samples.get('network_sent_bytes_total{worker="w0"}')).toBe(200);
    expect(samples.get('worker_losses_total{reason="connection"}')).toBe(1);
    expect(samples.get('worker_losses_total{reason="timeout"}')).toBe(1);
    expect(samples.get('rejected_messages_total{reason="protocol"}')).toBe(1);
    expect(samples.get('worker_up{worker="w0"}')).toBe(0);
    expect(samples.get('worker_state{state="lost",worker="w0"}')).toBe(1);
    expect(observation.view()?.status).toMatchObject({ lost: 2 });
  });

  it('includes the traffic of connections that were closed because the run had ended', async () => {
    const { observation, inspection } = observe();
    observation.ended({ state: 'finished', code: undefined, message: '' });
    observation.left({ worker: 'w0', cause: 'finished', traffic: worker('w0').traffic });
    inspection.now = { ...inspection.now, phase: 'ended', workers: [] };
    const samples = await scrape(observation);
    expect(samples.get('network_sent_bytes_total{worker="w0"}')).toBe(100);
    expect(
      [...losses].map((reason) => samples.get(`worker_losses_total{reason="${reason}"}`)),
    ).toEqual(losses.map(() => 0));
  });

  it('reports a worker that shut down as lost only if it returns and is then lost', async () => {
    const { observation, inspection } = observe();
    const { traffic } = worker('w0');
    const up = async () => (await scrape(observation)).get('worker_up{worker="w0"}');
    const leave = (cause: 'TERMINATED' | 'connection') => {
      inspection.now = { ...inspection.now, workers: [] };
      observation.left({ worker: 'w0', cause, traffic });
    };
    observation.turn();
    expect(await up()).toBe(1);
    leave('TERMINATED');
    expect(await up()).toBeUndefined();
    inspection.now = { ...inspection.now, workers: [worker('w0')] };
    expect(await up()).toBe(1);
    leave('connection');
    expect(await up()).toBe(0);
    // There are no measurements for a worker that is gone.
    expect(
      (await scrape(observation)).has('worker_heartbeat_round_trip_seconds{worker="w0"}'),
    ).toBe(false);
  });

  it('forgets workers that left long ago or exceed the limit, but not connected ones', async () => {
    const { observation, inspection, time } = observe();
    const present = (...names: string[]) => {
      inspection.now = {
        ...inspection.now,
        workers: names.map((name) => worker(name)),
        delivered: new Map(names.map((name) => [name, 64])),
      };
      for (const name of names) observation.event('hello', { worker: name });
      for (const name of names)
        observation.result({ worker: name, microseconds: 1, milliseconds: 1 });
      observation.step(step(1));
      observation.turn();
    };
    const reading = { index: 0, utilization: 0.5, memoryUsedBytes: 1, memorySizeBytes: 2 };
    // The worker has a different name each time it starts.
    for (let start = 0; start < 2 * MAX_OBSERVED_WORKERS; start++) {
      present(`w${start}`);
      observation.devices(`w${start}`, [{ ...reading, temperatureCelsius: 3, powerWatts: 4 }]);
    }
    const names = async () => {
      const labels = [...(await scrape(observation)).keys()].flatMap(
        (key) => /worker="(\w+)"/.exec(key)?.[1] ?? [],
      );
      return new Set(labels.filter((label) => label !== 'coordinator'));
    };
    const before = await names();
    expect(before.size).toBe(MAX_OBSERVED_WORKERS);
    expect(before).toContain(`w${2 * MAX_OBSERVED_WORKERS - 1}`);
    expect(before).not.toContain('other');
    present('here');
    time.now += FORGET_WORKER_MILLISECONDS;
    expect([...(await names())]).toEqual(['here']);
    expect(observation.turn()?.status?.workers.map(({ name }) => name)).toEqual(['here']);
    // A worker that returns is shown again, with all its samples.
    present('here', 'w0');
    expect((await scrape(observation)).get('train_samples_total{worker="w0"}')).toBe(64);
  });

  it('does not mistake a worker for the coordinator because of its name', async () => {
    const { observation } = observe([worker('coordinator'), worker('w0')]);
    observation.turn();
    const samples = await scrape(observation);
    expect(samples.get('worker_up{worker="other"}')).toBe(1);
    expect(samples.has('worker_up{worker="coordinator"}')).toBe(false);
  });

  it('begins where a run resumes, and adds earlier steps once they have been read', async () => {
    const formatter = new MetricsFormatter();
    const common = { epoch: 1, samples: 4, loss: 2, correct: 1 };
    const text = [1, 2, 3]
      .map((step) =>
        formatter.step({ ...common, step, milliseconds: 1, weights: 0n, chain: '0'.repeat(64) }),
      )
      .concat(formatter.evaluation({ set: 'test', ...common, step: 2 }))
      .join('');
    async function* past() {
      // Pieces end anywhere, and the last line is torn.
      for (let at = 0; at < text.length; at += 100) yield Buffer.from(text.slice(at, at + 100));
      yield Buffer.from('{"kind":"st');
    }
    const { observation } = observe([worker('w0')], { step: 3, epoch: 1, past });
    observation.step(step(4));
    expect(observation.view()?.curve.map(([step]) => step)).toEqual([4]);
    await expect.poll(() => observation.turn()?.isRestated).toBe(true);
    expect(observation.turn()?.isRestated).toBeUndefined();
    expect(observation.view()?.curve.map(([step]) => step)).toEqual([1, 2, 3, 4]);
    expect(observation.view()?.evaluations.map(([step]) => step)).toEqual([2]);
  });

  it('reports where a run resumes, even before its first new step', async () => {
    const event = (name: string, minutes: number) =>
      `${JSON.stringify({ time: new Date(60_000 * minutes).toISOString(), event: name })}\n`;
    // Long ago, the run lasted an hour.
    const events = event('start', 0) + event('checkpoint', 60);
    const { observation, time } = observe([worker('w0')], { step: 100, epoch: 3, events });
    const samples = await scrape(observation);
    expect([samples.get('train_step{}'), samples.get('epoch{}')]).toEqual([100, 3]);
    expect(samples.has('train_loss{}')).toBe(false);
    observation.turn();
    time.now = 1000;
    observation.step(step(110));
    const status = observation.turn()?.status;
    expect(status).toMatchObject({ step: 110 });
    expect(status?.seconds).toBe(3601);
    // The rate is ten steps a second, not a hundred and ten.
    const { totalSteps } = runFacts(configurationFixture, dataset, {
      version: '1.2.3',
      isLive: true,
    });
    expect(status?.secondsLeft).toBeCloseTo((totalSteps - 110) / 10);
  });

  it('reports what the run is waiting for, without a remaining time', () => {
    const { observation, time, inspection } = observe([
      worker('w0', 'idle'),
      worker('w1', 'preparing'),
    ]);
    for (let i = 1; i <= 10; i++) {
      time.now = 1000 * i;
      observation.step(step(10 * i));
      observation.turn();
    }
    expect(observation.turn()?.status).toMatchObject({ state: 'running', waiting: '' });
    expect(observation.turn()?.status?.secondsLeft).toBeGreaterThan(0);
    inspection.now = { ...inspection.now, phase: 'gathering', awaited: 2 };
    expect(observation.turn()?.status).toMatchObject({
      state: 'gathering',
      waiting: 'waiting for workers: 1 of 2 ready, 1 preparing',
      secondsLeft: undefined,
    });
  });

  it('reports a problem for as long as it lasts: a full disk, or a missing checkpoint', () => {
    const { observation, disk } = observe();
    expect([observation.problem, observation.turn()?.status?.problem]).toEqual([undefined, '']);
    disk.isFull = true;
    expect(observation.turn()?.status?.problem).toMatch(/the disk is full/);
    expect(observation.problem).toMatch(/the disk is full/);
    disk.isFull = false;
    observation.checkpointFailed(7);
    expect(observation.turn()?.status?.problem).toMatch(/checkpoint of step 7/);
    observation.checkpoint({ step: 9, bytes: 1, milliseconds: 1 });
    expect(observation.problem).toBeUndefined();
  });

  it('computes the norm of the gradient only a few times a second', () => {
    const { observation, time } = observe();
    let computed = 0;
    const gradientNorm = () => (computed += 1);
    for (let i = 1; i <= 2000; i++) {
      time.now = i;
      observation.step(step(i, { gradientNorm }));
    }
    expect(computed).toBe(8);
  });
});

describe('a viewer', () => {
  it('cannot fail a run: after it throws, only other viewers get reports', () => {
    const seen: number[] = [];
    let calls = 0;
    const defect = new Error('a bug');
    const failing = {
      ...silentViewer,
      step: () => {
        calls += 1;
        throw defect;
      },
    };
    const failures: unknown[] = [];
    const all = viewers(
      [failing, { ...silentViewer, step: (report) => seen.push(report.step) }],
      (...failure) => failures.push(failure),
    );
    for (const number of [1, 2, 3]) all.step(step(number));
    expect(seen).toEqual([1, 2, 3]);
    expect(calls).toBe(1);
    expect(failures).toEqual([[failing, defect]]);
  });
});

describe('an update for a page', () => {
  it("contains the evaluation's most confident mistakes, with their pictures", () => {
    const { observation } = observe();
    evaluate(observation);
    const update = observation.turn();
    expect(update?.evaluation).toEqual([2, 0.25, 0.5]);
    const mistakes = update?.evaluated?.mistakes.map(({ confidence, ...rest }) => ({
      ...rest,
      confidence: Number(confidence.toFixed(2)),
    }));
    expect(mistakes).toEqual([
      {
        index: 1,
        true: 0,
        predicted: 1,
        confidence: 0.95,
        pixels: Buffer.of(3, 4).toString('base64'),
      },
      {
        index: 2,
        true: 1,
        predicted: 0,
        confidence: 0.7,
        pixels: Buffer.of(5, 6).toString('base64'),
      },
    ]);
    expect(observation.turn()?.evaluated).toBeUndefined();
  });

  it("contains each change in a worker's state once", () => {
    const { observation, inspection } = observe([worker('w0'), worker('w1', 'preparing')]);
    expect(observation.turn()?.changes?.map(({ worker: name, state }) => [name, state])).toEqual([
      ['w0', 'training'],
      ['w1', 'preparing'],
    ]);
    inspection.now = { ...inspection.now, workers: [worker('w1')] };
    const update = observation.turn();
    expect(update?.changes?.map(({ worker: name, state }) => [name, state])).toEqual([
      ['w0', 'lost'],
      ['w1', 'training'],
    ]);
    expect(update?.status?.workers.map(({ name, state }) => [name, state])).toEqual([
      ['w0', 'lost'],
      ['w1', 'training'],
    ]);
  });

  it('reports the end of the run, and its workers as done', async () => {
    const { observation, inspection, time } = observe();
    observation.step(step(3));
    observation.turn();
    observation.ended({ state: 'diverged', code: 'DIVERGED', message: 'the loss is not finite' });
    expect(observation.turn()?.status).toMatchObject({
      state: 'diverged',
      message: 'the loss is not finite',
      step: 3,
      secondsLeft: undefined,
      workers: [{ name: 'w0', state: 'done' }],
    });
    inspection.now = { ...inspection.now, phase: 'ended', workers: [] };
    const seconds = observation.turn()?.status?.seconds;
    time.now += 5000;
    const after = observation.turn();
    expect(after?.status?.seconds).toBe(seconds);
    expect(after?.status?.workers).toMatchObject([
      { name: 'w0', state: 'done', engine: 'reference, cpu' },
    ]);
    expect(after?.changes).toBeUndefined();
    // Prometheus no longer gets samples of the workers.
    const samples = await scrape(observation);
    expect(samples.get('worker_up{worker="w0"}')).toBe(0);
    expect(samples.get('training_running{}')).toBe(0);
  });
});
