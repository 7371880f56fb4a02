import type { StepResult } from '../../coordinator/driver.ts';
import type { RunState, Settings } from '../../coordinator/state.ts';
import { check } from '../../kernels/twins.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { assert } from '../../shared/errors.ts';
import { EVALUATION_CHUNK_ROWS } from '../../shared/limits.ts';
import { planStep, totalSteps } from '../../shared/schedule.ts';
import { firstShard, shardCount } from '../../shared/tree.ts';
import { strike } from './faults.ts';
import { predictionsOf, simulatedConfiguration, undisturbed, type ExpectedStep } from './model.ts';
import { Random } from './random.ts';
import { SimulatedCoordinator, type KeptCheckpoint, type Witness } from './simulated-coordinator.ts';
import { SimulatedWorker } from './simulated-worker.ts';
import { VirtualTime } from './virtual-time.ts';
import { Wire } from './wire.ts';

/** How long a run may take, in virtual time, after the last fault: several leases and silences one after the other. */
const PROGRESS_LIMIT_MILLISECONDS = 300_000;
const FAULTS_LIMIT_MILLISECONDS = 20_000;
/** The share of faults that strike the coordinator. */
const COORDINATOR_FAULTS = 0.1;

export interface SimulationResult {
  readonly steps: number;
  readonly faults: number;
  readonly virtualMilliseconds: number;
}

/** A simulation that broke an invariant: which one, and what had happened before. */
export class SimulationFailure extends Error {
  constructor(seed: number, journal: readonly string[], cause: unknown) {
    const what = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const last = journal.slice(-40).join('\n');
    super(`${what}\n\nthe last of what happened:\n${last}\n\nagain: npm run sim -- --seed ${seed}`, {
      cause,
    });
  }
}

/**
 * `faults`: whatever can go wrong with processes, networks and memory. `liar`: one of several workers computes something wrong
 * all the time, everything is audited, and nothing happens to the others.
 */
export type Story = 'faults' | 'liar';

/** A whole cluster in one process: everything that happens follows from seed and story. Throws SimulationFailure. */
export async function simulate(seed: number, story: Story = 'faults'): Promise<SimulationResult> {
  const simulation = new Simulation(seed, story);
  try {
    return await simulation.run();
  } catch (error) {
    simulation.note('this is wrong');
    throw new SimulationFailure(seed, simulation.journal, error);
  }
}

class Simulation implements Witness {
  readonly journal: string[] = [];
  readonly #random: Random;
  readonly #story: Story;
  readonly #time = new VirtualTime();
  readonly #configuration: Configuration;
  readonly #expected: { readonly steps: readonly ExpectedStep[]; readonly weights: Float32Array };
  readonly #workers: SimulatedWorker[];
  readonly #settings: Settings;
  #coordinator: SimulatedCoordinator;
  /** Whether somebody listens. */
  #isUp = true;
  #kept: KeptCheckpoint | undefined;
  readonly #wireMilliseconds: number;
  readonly #faultsUntil: number;
  #evaluations: number[] = [];
  #steps = 0;
  #faults = 0;
  #terms = 1;
  #opened: string | undefined;
  #openedAt = 0;
  #suspects = 0;
  #ended: { readonly state: string; readonly message: string } | undefined;
  #crash: unknown;

  constructor(seed: number, story: Story) {
    const random = new Random(seed);
    this.#random = random;
    this.#story = story;
    this.#configuration = simulatedConfiguration(2 ** random.below(5), 1 + random.below(3));
    this.#expected = expectedOf(this.#configuration);
    this.#wireMilliseconds = random.between(0, 5);
    this.#faultsUntil = random.between(0, FAULTS_LIMIT_MILLISECONDS);
    const isLiar = story === 'liar';
    const minWorkers = isLiar ? 3 : 1 + random.below(2);
    const count = minWorkers + random.below(5);
    const startWorkers = isLiar ? count : minWorkers + random.below(count);
    const rate = isLiar ? 1 : random.pick([0, 0, 0.3, 1]);
    this.#settings = {
      ...{ run: 'r', term: 1, configuration: this.#configuration },
      totalSteps: totalSteps(this.#configuration),
      ...{ minWorkers, startWorkers, allowMixedEngines: false },
      maxWorkers: random.chance(0.2) ? minWorkers : 256,
      rendezvousMilliseconds: 120_000,
      audit: rate === 0 ? undefined : { rate, key: [random.below(2 ** 32), random.below(2 ** 32)] },
      checkpointEvery: random.chance(0.5) ? { steps: 1 + random.below(5) } : { milliseconds: 500 },
    };
    this.#coordinator = this.#startCoordinator();
    const world = {
      ...{ time: this.#time, random, configuration: this.#configuration, isAudited: rate > 0 },
      connect: () => this.#connect(),
    };
    this.#workers = Array.from(
      { length: count },
      (_, i) => new SimulatedWorker(world, `w${i}`, isLiar ? 5 : random.between(2, 20)),
    );
  }

  async run(): Promise<SimulationResult> {
    for (const worker of this.#workers) this.#time.after(this.#random.between(0, 500), () => worker.start());
    if (this.#story === 'faults') this.#planFault();
    else this.#random.pick(this.#workers).isLying = true;
    const limit = this.#faultsUntil + PROGRESS_LIMIT_MILLISECONDS;
    while (this.#coordinator.state.phase !== 'ended') {
      assert(this.#time.step(), 'something is left to happen until the run has ended');
      // Promises settle before time goes on.
      await Promise.resolve();
      if (this.#crash !== undefined) throw this.#crash;
      checkLeases(this.#coordinator.state);
      this.#checkBeginning(this.#coordinator.state);
      assert(this.#time.now() < limit, `the run ends within ${limit.toFixed(0)} ms of virtual time`);
    }
    this.#checkEnd();
    return { steps: this.#steps, faults: this.#faults, virtualMilliseconds: this.#time.now() };
  }

  step(result: StepResult): void {
    const expected = this.#expected.steps[result.step - 1];
    this.note(`step ${result.step}`);
    assert(result.step === this.#steps + 1, `step ${this.#steps + 1} follows, not ${result.step}`);
    assert(
      result.checksum === expected?.checksum,
      `the weights of step ${result.step} are the undisturbed run's`,
    );
    assert(Object.is(result.loss, expected.loss), `the loss of step ${result.step} is the undisturbed run's`);
    assert(result.correct === expected.correct, `every row of step ${result.step} counts once`);
    assert(result.milliseconds === this.#time.now() - this.#openedAt, 'a step is timed from its weights on');
    this.#steps = result.step;
  }

  evaluation(step: number, values: Float32Array): void {
    this.note(`evaluation after step ${step}`);
    assert(step === this.#steps, 'what is evaluated is the newest step');
    assert(this.#evaluations.at(-1) !== step, 'each step is evaluated once');
    this.#evaluations.push(step);
    const weights = this.#coordinator.weights();
    const rows = EVALUATION_CHUNK_ROWS * (2 + this.#configuration.model.classes);
    for (let chunk = 0; chunk * rows < values.length; chunk++) {
      const expected = predictionsOf(this.#configuration, weights, chunk);
      const actual = values.subarray(chunk * rows, (chunk + 1) * rows);
      assert(
        actual.every((value, i) => value === expected[i]),
        `chunk ${chunk} of the evaluation is that of these weights`,
      );
    }
  }

  kept(checkpoint: KeptCheckpoint): void {
    this.#kept = checkpoint;
  }

  #startCoordinator(): SimulatedCoordinator {
    const settings = { ...this.#settings, term: this.#terms };
    const coordinator = new SimulatedCoordinator(settings, this.#time, this.#random, this, this.#kept);
    coordinator.driver.outcome.then(
      (outcome) => (this.#ended = outcome),
      (error: unknown) => (this.#crash = error),
    );
    return coordinator;
  }

  /** The coordinator is killed, and started again from what was kept. */
  #restartCoordinator(): string {
    if (!this.#isUp) return 'the coordinator is down already';
    const pause = this.#random.between(50, 3_000);
    this.#isUp = false;
    this.#coordinator.kill();
    this.#time.after(pause, () => {
      this.#terms += 1;
      this.#isUp = true;
      this.#coordinator = this.#startCoordinator();
      this.#steps = this.#kept?.step ?? 0;
      this.#evaluations = this.#evaluations.filter((step) => step <= (this.#kept?.evaluated ?? 0));
      this.note(`the coordinator goes on after step ${this.#steps}, term ${this.#terms}`);
    });
    return `the coordinator is killed, and started again after ${pause.toFixed(0)} ms`;
  }

  #connect(): Wire | undefined {
    if (!this.#isUp || this.#coordinator.state.phase === 'ended') return undefined;
    const wire = new Wire(this.#time, this.#random, this.#wireMilliseconds);
    this.#coordinator.accept(wire);
    return wire;
  }

  #planFault(): void {
    const pause = this.#random.between(0, 800);
    if (this.#time.now() + pause > this.#faultsUntil) return;
    this.#time.after(pause, () => {
      const worker = this.#random.pick(this.#workers);
      this.note(
        this.#random.chance(COORDINATOR_FAULTS)
          ? this.#restartCoordinator()
          : `${worker.name} ${strike(worker, this.#workers, this.#random)}`,
      );
      this.#faults += 1;
      this.#planFault();
    });
  }

  /** A step or evaluation begins only with enough workers. */
  #checkBeginning({ task, workers, settings, suspects }: RunState): void {
    // Who is found out with the last result of a step is gone when the next one has just begun.
    const isFoundOut = suspects.length !== this.#suspects;
    this.#suspects = suspects.length;
    const opened = task === undefined ? undefined : `${settings.term} ${task.kind} ${task.step}`;
    if (opened !== undefined && opened !== this.#opened) {
      const ready = [...workers.values()].filter(({ phase }) => phase === 'ready').length;
      assert(isFoundOut || ready >= settings.minWorkers, `${ready} workers are enough for ${opened}`);
    }
    if (opened !== this.#opened) this.#openedAt = this.#time.now();
    this.#opened = opened;
  }

  #checkEnd(): void {
    this.note('the run ends');
    const { suspects } = this.#coordinator.state;
    for (const { name, lies, isLying } of this.#workers) {
      const isNamed = suspects.some((suspect) => suspect.name === name);
      if (lies > 0) assert(isNamed && !isLying, `${name} lied ${lies} times and was found out`);
    }
    const { configuration } = this.#coordinator.state.settings;
    assert(this.#steps === totalSteps(configuration), `all steps are done, not ${this.#steps}`);
    assert(this.#evaluations.length === configuration.epochs, 'each epoch is evaluated once');
    const { checksum } = check(this.#coordinator.weights());
    assert(checksum === check(this.#expected.weights).checksum, "the model is the undisturbed run's");
    const samples = [...this.#coordinator.state.delivered.values()].reduce((sum, count) => sum + count, 0);
    const wanted = configuration.trainSamples * configuration.epochs;
    // What a killed coordinator counted after its last checkpoint is counted again.
    assert(samples === wanted, `the workers delivered ${wanted} samples, not ${samples}`);
    assert(
      this.#ended === undefined || this.#ended.state === 'finished',
      `the run finished: ${this.#ended?.message}`,
    );
  }

  note(what: string): void {
    for (const line of this.#coordinator.lines.splice(0)) this.journal.push(`           ${line}`);
    this.journal.push(`${this.#time.now().toFixed(1).padStart(10)} ${what}`);
  }
}

const known = new Map<string, ReturnType<typeof undisturbed>>();

function expectedOf(configuration: Configuration): ReturnType<typeof undisturbed> {
  const key = `${configuration.virtualShards} ${configuration.seed}`;
  const expected = known.get(key) ?? undisturbed(configuration);
  known.set(key, expected);
  return expected;
}

/** Open leases belong to workers that are there; the parts of a step are all its shards, each once. */
function checkLeases({ task, workers, settings }: RunState): void {
  if (task === undefined) return;
  const { virtualShards, realShards } = planStep(settings.configuration, task.step);
  const covered = new Set<number>();
  for (const [node, part] of task.parts) {
    for (const { slot, state } of part.leases) {
      const isOwned = part.accepted !== undefined || state === 'gone' || workers.has(slot);
      assert(isOwned, `part ${node} is leased to slot ${slot}, where nobody is`);
    }
    const computing = part.leases.filter(({ state }) => state === 'open' || state === 'late');
    assert(
      new Set(computing.map(({ slot }) => slot)).size === computing.length,
      `nobody is asked for part ${node} again while computing it`,
    );
    if (task.kind === 'evaluation') continue;
    const first = firstShard(node, virtualShards);
    for (let shard = first; shard < first + shardCount(node, virtualShards); shard++) {
      assert(
        !covered.has(shard) && shard < realShards,
        `shard ${shard} of step ${task.step} is planned once`,
      );
      covered.add(shard);
    }
  }
  assert(task.kind === 'evaluation' || covered.size === realShards, `all ${realShards} shards are planned`);
}
