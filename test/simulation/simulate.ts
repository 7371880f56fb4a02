import { RENEW_MILLISECONDS } from '../../bin/owner.mjs';
import type { StepResult } from '../../coordinator/driver.ts';
import { RunLock } from '../../coordinator/run-directory/run-lock.ts';
import type { Resumed, Settings } from '../../coordinator/decisions/state.ts';
import { assert, ClusterError, messageOf } from '../../shared/errors.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { stepsPerEpoch, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { checkEvaluation } from './check-evaluation.ts';
import { checkLeases } from './check-leases.ts';
import { strikeCoordinator, type CoordinatorWorld } from './coordinator-faults.ts';
import { SimulatedDisk } from './simulated-disk.ts';
import { SimulationFailure } from './failure.ts';
import { strike } from './faults.ts';
import { simulatedConfiguration } from './model.ts';
import { Random } from '../fixtures/seeded-random.ts';
import {
  checkFinishedRun,
  durableRecord,
  expectedOf,
  type ExpectedRun,
  recordedSteps,
  simulatedDataset,
} from './run-on-disk.ts';
import { RUN, SimulatedCoordinator, type Witness } from './simulated-coordinator.ts';
import { SimulatedProcess, type World } from './simulated-process.ts';
import { SimulatedWorker, type Connected } from './simulated-worker.ts';
import { VirtualTime } from './virtual-time.ts';
import { Wire } from './wire.ts';
import type { SimulationResult, Story } from './story.ts';

/**
 * How long a run may take after the last fault, in virtual time: long enough for several leases and
 * idle connections in a row to expire.
 */
const PROGRESS_LIMIT_MILLISECONDS = 300_000;
const FAULTS_LIMIT_MILLISECONDS = 20_000;
/** The share of faults that strike the coordinator. */
const COORDINATOR_FAULTS = 0.25;

/** Maximum delay of messages when processes are suspended, so that some wait in socket buffers. */
const SLOW_WIRE_MILLISECONDS = 400;
/** Long enough for the coordinator to drop a suspended worker and continue training. */
const LONG_RUN_EPOCHS = 16;

/**
 * Simulates a whole cluster in one process. The seed and the story determine everything that
 * happens. Throws SimulationFailure.
 */
export async function simulate(seed: number, story: Story = 'faults'): Promise<SimulationResult> {
  const simulation = new Simulation(seed, story);
  try {
    return await simulation.run();
  } catch (error) {
    simulation.note('an invariant is violated');
    throw new SimulationFailure(seed, simulation.journal, error);
  } finally {
    simulation.close();
  }
}

class Simulation implements Witness, CoordinatorWorld {
  readonly journal: string[] = [];
  readonly #random: Random;
  readonly #story: Story;
  readonly #time = new VirtualTime();
  readonly #world: World;
  readonly #expected: ExpectedRun;
  readonly #workers: SimulatedWorker[];
  readonly #settings: Omit<Settings, 'run' | 'term'>;
  /** The coordinator that workers can reach; undefined while none is listening. */
  #coordinator: SimulatedCoordinator | undefined;
  /** The last coordinator that opened the run. */
  #newest: SimulatedCoordinator | undefined;
  /** Coordinators that were taken over while they were stopped. */
  #superseded: SimulatedCoordinator[] = [];
  #hosts = 1;
  readonly #wireMilliseconds: number;
  /** Whether tensors travel through shared memory. */
  readonly #isShared: boolean;
  readonly #faultsUntil: number;
  #faults = 0;
  readonly #terms = new Map<number, SimulatedCoordinator>();
  /** The highest term of a coordinator that was not superseded. */
  #term = 0;
  /** The step of the newest checkpoint that is safe. */
  #kept = 0;
  /** Whether a full disk ended a coordinator; workers may learn of it much later. */
  #hasEndedFull = false;
  #isFinished = false;
  /** Whether a worker's connection may end before the run does. */
  #mayLose = true;
  /** How many workers were found to have sent wrong results. */
  #suspects = 0;
  #crash: unknown;

  constructor(seed: number, story: Story) {
    const random = new Random(seed);
    const time = this.#time;
    this.#random = random;
    this.#story = story;
    const isSuspended = story === 'suspended';
    const epochs = isSuspended ? LONG_RUN_EPOCHS : undefined;
    const [shards, modelSeed] = [2 ** random.below(5), 1 + random.below(3)];
    const configuration = simulatedConfiguration(shards, modelSeed, epochs, seed);
    this.#expected = expectedOf(configuration);
    this.#world = { time, random, disk: new SimulatedDisk(random), processes: [], boot: 1 };
    this.#wireMilliseconds = isSuspended ? SLOW_WIRE_MILLISECONDS : random.between(0, 5);
    this.#isShared = process.platform === 'linux' && random.chance(isSuspended ? 1 : 0.5);
    this.#faultsUntil = random.between(0, FAULTS_LIMIT_MILLISECONDS);
    const isLiar = story === 'liar';
    const minWorkers = isLiar ? 3 : isSuspended ? 1 : 1 + random.below(2);
    const count = minWorkers + random.below(5);
    const rate = isLiar ? 1 : random.pick([0, 0, 0.3, 1]);
    this.#settings = {
      configuration,
      totalSteps: totalSteps(configuration),
      minWorkers,
      startWorkers: isLiar ? count : minWorkers + random.below(count),
      allowMixedEngines: false,
      evaluateAfter: undefined,
      audit: rate === 0 ? undefined : { rate, key: [random.below(2 ** 32), random.below(2 ** 32)] },
      maxWorkers: random.chance(0.2) ? minWorkers : 256,
      rendezvousMilliseconds: 120_000,
      checkpointEvery: random.chance(0.5) ? { steps: 1 + random.below(5) } : { milliseconds: 500 },
    };
    const world = {
      time,
      random,
      configuration,
      isAudited: rate > 0,
      connect: () => this.#connect(),
      ended: (worker: SimulatedWorker, error: unknown) => this.#left(worker, error),
    };
    this.#workers = Array.from(
      { length: count },
      (_, i) => new SimulatedWorker(world, `w${i}`, isLiar ? 5 : random.between(2, 20)),
    );
  }

  async run(): Promise<SimulationResult> {
    this.#start();
    for (const worker of this.#workers)
      this.#time.after(this.#random.between(0, 500), () => worker.start());
    this.#begin();
    const limit = this.#faultsUntil + PROGRESS_LIMIT_MILLISECONDS;
    while (!this.#isFinished) {
      assert(this.#time.step(), 'tasks are left until the run has ended');
      // Lets promises settle before time passes.
      await new Promise(setImmediate);
      if (this.#crash !== undefined) throw this.#crash;
      for (const coordinator of [this.#coordinator, ...this.#superseded])
        this.#checkState(coordinator);
      assert(
        this.#time.now() < limit,
        `the run ends within ${limit.toFixed(0)} ms of virtual time`,
      );
    }
    this.#checkEnd();
    const steps = this.#expected.steps.length;
    const lies = this.#workers.reduce((sum, worker) => sum + worker.lies, 0);
    const stale = this.#workers.reduce((sum, worker) => sum + worker.stale, 0);
    return { steps, faults: this.#faults, lies, stale, virtualMilliseconds: this.#time.now() };
  }

  #begin(): void {
    switch (this.#story) {
      case 'faults':
        return this.#planFault();
      case 'liar':
        this.#random.pick(this.#workers).isLying = true;
        return;
      case 'suspended':
        this.#time.after(this.#random.between(2_000, 6_000), () => this.#suspend());
    }
  }

  /**
   * Suspends workers, the coordinator or all processes. A worker must not be lost if it was
   * suspended together with the coordinator, or if its messages wait for a suspended coordinator.
   */
  #suspend(): void {
    const random = this.#random;
    const milliseconds = random.between(21_000, 60_000);
    const who = random.pick(['workers', 'workers', 'coordinator', 'all'] as const);
    const duration = who === 'coordinator' ? milliseconds / 4 : milliseconds;
    this.note(`${who}: suspended for ${duration.toFixed(0)} ms`);
    this.#mayLose = who === 'workers';
    this.#faults += 1;
    if (who !== 'workers') this.stop(duration);
    if (who === 'coordinator') return;
    const chosen = who === 'all' ? this.#workers : this.#workers.filter(() => random.chance(0.6));
    for (const worker of chosen) worker.stall(duration);
  }

  /** Closes all resources that the simulated processes have open. */
  close(): void {
    for (const worker of this.#workers) worker.kill();
    for (const coordinator of [this.#coordinator, ...this.#superseded]) coordinator?.kill();
  }

  opened(coordinator: SimulatedCoordinator, term: number, resumed: Resumed | undefined): void {
    const step = resumed?.step ?? 0;
    this.note(
      `a coordinator on ${coordinator.process.host} resumes after step ${step}, term ${term}`,
    );
    // A coordinator that was stopped after it wrote its term continues with the superseded term.
    const isLate = this.#superseded.includes(coordinator);
    assert(term > this.#term || isLate, `terms rise: ${this.#term}, then ${term}`);
    assert(!this.#terms.has(term), `only one coordinator has term ${term}`);
    this.#terms.set(term, coordinator);
    if (isLate) return;
    this.#term = term;
    this.#newest = coordinator;
    assert(
      step >= this.#kept,
      `the checkpoint found, step ${step}, is not older than the safe one, step ${this.#kept}`,
    );
    const recorded = recordedSteps(this.#world.disk, this.#expected);
    assert(recorded >= step, `the lines up to step ${step} exist, not only up to ${recorded}`);
  }

  welcomed(term: number): void {
    const durable = durableRecord(this.#world.disk)?.term ?? 0;
    assert(durable >= term, `term ${term} is on the disk before a worker gets it, not ${durable}`);
  }

  step(coordinator: SimulatedCoordinator, result: StepResult): void {
    const { step, checksum, loss, correct, milliseconds } = result;
    const expected = this.#expected.steps[step - 1];
    this.note(`step ${step}`);
    assert(step === coordinator.done + 1, `step ${coordinator.done + 1} follows, not ${step}`);
    assert(
      checksum === expected?.checksum,
      `the weights of step ${step} equal the undisturbed run's`,
    );
    assert(Object.is(loss, expected.loss), `the loss of step ${step} equals the undisturbed run's`);
    assert(correct === expected.correct, `every row of step ${step} counts once`);
    const passed = coordinator.process.now() - coordinator.taskSince;
    assert(milliseconds === passed, "a step's time starts when its weights are sent");
    coordinator.done = step;
  }

  evaluation(
    coordinator: SimulatedCoordinator,
    step: number,
    set: EvaluatedSet,
    values: Float32Array,
  ): void {
    this.note(`evaluation of the ${set} set after step ${step}`);
    checkEvaluation(this.#expected, coordinator, step, set, values);
  }

  kept(step: number): void {
    this.note(`the checkpoint of step ${step} is safe`);
    this.#kept = Math.max(this.#kept, step);
  }

  ended(coordinator: SimulatedCoordinator, error: unknown): void {
    if (!coordinator.process.isAlive) return;
    coordinator.kill();
    this.#hasEndedFull ||= this.#isFull(error);
    this.note(
      `the coordinator on ${coordinator.process.host} ends: ` +
        (error === undefined ? 'finished' : messageOf(error)),
    );
    if (error === undefined || this.#saysFinished(error)) {
      this.#isFinished = true;
    } else if (this.#superseded.includes(coordinator)) {
      // A full disk may also end it.
      if (!isCode(error, 'LOCKED') && !this.#isFull(error)) this.#crash = error;
    } else if (this.#isFull(error)) {
      this.#coordinator = undefined;
      this.#time.after(this.#random.between(1_000, 3_000), () => this.#start());
    } else if (!isCode(error, 'LOCKED') || !this.#hasLateOne()) {
      this.#crash = error;
    }
  }

  /**
   * Whether the run belongs to a coordinator that was stopped before it took the lock and, once
   * resumed, took the lock from its replacement.
   */
  #hasLateOne(): boolean {
    for (const [term, late] of this.#terms) {
      if (term <= this.#term || !late.process.isAlive || !this.#superseded.includes(late)) continue;
      this.#superseded = this.#superseded.filter((other) => other !== late);
      [this.#term, this.#coordinator, this.#newest] = [term, late, late];
      return true;
    }
    return false;
  }

  kill(pause: number): void {
    const coordinator = this.#coordinator;
    if (coordinator === undefined) return;
    coordinator.kill();
    this.#coordinator = undefined;
    this.#time.after(pause, () => this.#start());
  }

  cutPower(pause: number): void {
    for (const coordinator of this.#superseded.splice(0)) coordinator.kill();
    this.kill(pause);
    this.#world.disk.powerCut();
    this.#world.boot += 1;
  }

  fillDisk(bytes: number, milliseconds: number): void {
    const { disk } = this.#world;
    if (disk.isFull) return;
    disk.fill(bytes);
    this.#time.after(milliseconds, () => {
      this.note('the disk has space again');
      disk.free();
    });
  }

  stop(milliseconds: number): void {
    const coordinator = this.#coordinator;
    if (coordinator === undefined || coordinator.process.isStopped) return;
    coordinator.process.stop();
    this.#time.after(milliseconds, () => {
      this.note(`the coordinator on ${coordinator.process.host} is resumed`);
      coordinator.process.wake();
      if (this.#superseded.includes(coordinator) && this.#newest !== coordinator)
        this.#expectEnd(coordinator);
    });
  }

  /**
   * Expects a coordinator that was taken over to end: it checks its lock regularly, so it must not
   * keep its workers for a long time.
   */
  #expectEnd(coordinator: SimulatedCoordinator): void {
    const { process } = coordinator;
    this.#time.after(5 * RENEW_MILLISECONDS, () =>
      assert(
        !process.isAlive || coordinator === this.#newest,
        `the coordinator on ${process.host} notices that it was taken over`,
      ),
    );
  }

  supersede(milliseconds: number, pause: number): void {
    const coordinator = this.#coordinator;
    this.stop(milliseconds);
    // A run that has not begun cannot be taken over.
    if (coordinator === undefined || !this.#world.disk.has(`${RUN}/run.json`)) return;
    this.#time.after(pause, () => {
      if (this.#coordinator !== coordinator) return;
      this.#superseded.push(coordinator);
      this.#hosts += 1;
      this.#start();
    });
  }

  intrude(): void {
    const coordinator = this.#coordinator;
    if (coordinator?.state === undefined) return;
    const intruder = new SimulatedProcess(this.#world, coordinator.process.host);
    const disk = intruder.disk(() => undefined, Infinity);
    const place = { disk, clock: intruder.clock(), processes: intruder.processes() };
    RunLock.take(RUN, false, place).then(
      (lock) => this.#checkIntruder(lock),
      (error: unknown) => {
        if (!isCode(error, 'LOCKED') && !this.#isFull(error)) this.#crash = error;
      },
    );
  }

  /** The run may have ended, and its lock be free, while the intruder was looking. */
  #checkIntruder({ staging }: RunLock): void {
    const before = staging.replace(/\d+$/, (number) => String(Number(number) - 1));
    if (!this.#world.disk.has(`${before}/ended.json`))
      this.#crash = new Error('the lock of a running coordinator was taken');
  }

  setClock(byMilliseconds: number): void {
    this.#time.setClock(byMilliseconds);
  }

  #start(): void {
    this.#coordinator = new SimulatedCoordinator({
      world: this.#world,
      host: `host${this.#hosts}`,
      settings: this.#settings,
      witness: this,
      dataset: simulatedDataset(this.#expected.configuration),
      takeOver: this.#hosts > 1,
      isShared: this.#isShared,
    });
  }

  #connect(): Connected | undefined {
    const coordinator = this.#coordinator;
    if (coordinator?.state === undefined || coordinator.state.phase === 'ended') return undefined;
    const wire = new Wire(this.#time, this.#random, this.#wireMilliseconds);
    coordinator.accept(wire);
    return { wire, memory: coordinator.memory };
  }

  /**
   * Handles a worker that has ended. Simulated workers dial forever and no process breaks the
   * protocol, so there are three possible reasons: the run has ended, which must be on the disk; a
   * full disk ended the coordinator, after which both are restarted; or the worker's results
   * differed from those of others, after which its memory is replaced.
   */
  #left(worker: SimulatedWorker, error: unknown): void {
    const { state } = durableRecord(this.#world.disk) ?? {};
    if (error === undefined)
      assert(state === 'finished', 'the run has finished if a worker is told so');
    else if (isCode(error, 'RUN_FAILED') && this.#hasEndedFull) worker.crash();
    else if (isCode(error, 'DISAGREEMENT') && worker.isCorrupt) worker.repair();
    else throw error;
  }

  #planFault(): void {
    const pause = this.#random.between(0, 800);
    if (this.#time.now() + pause > this.#faultsUntil) return;
    this.#time.after(pause, () => {
      const worker = this.#random.pick(this.#workers);
      this.note(
        this.#random.chance(COORDINATOR_FAULTS)
          ? strikeCoordinator(this, this.#random)
          : `${worker.name} ${strike(worker, this.#workers, this.#random)}`,
      );
      this.#faults += 1;
      this.#planFault();
    });
  }

  #checkState(coordinator: SimulatedCoordinator | undefined): void {
    if (coordinator?.state === undefined) return;
    const { task, workers, settings, suspects } = coordinator.state;
    checkLeases(coordinator.state);
    // If the last result of a step proves a worker wrong, that worker has already left when the
    // next step begins.
    const isFoundOut = suspects.length !== this.#suspects;
    this.#suspects = suspects.length;
    const opened = task === undefined ? undefined : `${task.kind} ${task.step}`;
    if (opened === coordinator.task) return;
    // A step or evaluation begins only with enough workers.
    if (opened !== undefined) {
      const ready = [...workers.values()].filter(({ phase }) => phase === 'ready').length;
      assert(
        isFoundOut || ready >= settings.minWorkers,
        `${ready} workers are enough for ${opened}`,
      );
    }
    coordinator.taskSince = coordinator.process.now();
    coordinator.task = opened;
  }

  /**
   * Whether the error is due to a full disk, which may end a coordinator at its start or its end. A
   * stopped coordinator gets the error only once it is resumed.
   */
  #isFull(error: unknown): boolean {
    return isCode(error, 'DISK') && messageOf(error).includes('ENOSPC');
  }

  /** Whether a restarted coordinator found the run finished by a predecessor. */
  #saysFinished(error: unknown): boolean {
    return isCode(error, 'USAGE') && durableRecord(this.#world.disk)?.state === 'finished';
  }

  #checkEnd(): void {
    this.note('the run ends');
    const { workers } = checkFinishedRun(this.#world.disk, this.#expected);
    const { configuration, steps } = this.#expected;
    const samples = workers.reduce((sum, worker) => sum + worker.samples, 0);
    const wanted = configuration.trainSamples * (steps.length / stepsPerEpoch(configuration));
    assert(samples === wanted, `the workers delivered ${wanted} samples, not ${samples}`);
    if (this.#story === 'liar') this.#checkLiar();
  }

  /** Checks that every worker that lied was found out, and no other worker. */
  #checkLiar(): void {
    const found = new Set(this.#coordinator?.state?.suspects.map(({ name }) => name));
    for (const { name, lies } of this.#workers)
      assert(
        found.has(name) === lies > 0,
        `${name} lied ${lies} times and was ${found.has(name) ? '' : 'not '}found out`,
      );
  }

  note(what: string): void {
    for (const coordinator of [this.#coordinator, ...this.#superseded])
      for (const line of coordinator?.lines.splice(0) ?? []) {
        this.journal.push(`           ${line}`);
        assert(this.#mayLose || !line.includes(' left: '), `no worker is lost: ${line}`);
      }
    this.journal.push(`${this.#time.now().toFixed(1).padStart(10)} ${what}`);
  }
}

function isCode(error: unknown, code: ClusterError['code']): boolean {
  return error instanceof ClusterError && error.code === code;
}
