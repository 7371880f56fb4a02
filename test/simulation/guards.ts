import { diskGuards } from './disk-guards.ts';

/** A source line that upholds a guarantee, and its replacement without the guard. */
export interface Guard {
  readonly name: string;
  readonly file: string;
  readonly line: string;
  readonly without: string;
  /** The test that detects the removal if the simulator cannot. */
  readonly test?: string;
  /** A seed that detected the removal, simulated first. */
  readonly likelySeed?: number;
}

/**
 * The source without the guard, however the line is wrapped; undefined unless the source contains
 * the line exactly once.
 */
export function withoutGuard(source: string, { line, without }: Guard): string | undefined {
  const words = line
    .split(/\s+/)
    .map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
  const parts = source.split(new RegExp(words.join(String.raw`\s+`)));
  return parts.length === 2 ? parts.join(without) : undefined;
}

const VOTES = 'test/unit/coordinator/decisions/votes.test.ts';
const SUSPENSION = 'test/simulation/suspension.test.ts';
const CHANNEL = 'test/unit/shared/wire/channel.test.ts';
const AUDIT = 'test/unit/coordinator/decisions/audit.test.ts';

export const guards: readonly Guard[] = [
  ...diskGuards,
  {
    name: 'a result from another step is dropped',
    file: 'coordinator/decisions/results.ts',
    line: 'task.kind !== kind || task.step !== message.step)',
    without: 'task.kind !== kind)',
  },
  {
    name: 'a result that is not finite is rejected',
    file: 'coordinator/decisions/results.ts',
    line: 'if (!verdict.finite) return',
    without: 'if (!verdict.finite && !verdict.intact) return',
  },
  {
    name: 'only the first result for a part is accepted',
    file: 'coordinator/decisions/results.ts',
    line: 'if (part.accepted !== undefined) return compareWithAccepted(',
    without: 'if (part.accepted?.slot === -1) return compareWithAccepted(',
    test: VOTES,
  },
  {
    name: 'an audited part counts only when two workers agree',
    file: 'coordinator/decisions/results.ts',
    line: 'if (votesFor(answered, answer) < part.quorum)',
    without: 'if (votesFor(answered, answer) < 1)',
  },
  {
    name: 'digests are compared when two workers must agree',
    file: 'coordinator/decisions/votes.ts',
    line: 'other.digest === digest && digest !== undefined && other.correct === correct',
    without: 'other.correct === correct',
    test: AUDIT,
  },
  {
    name: 'answers from a closed connection are dropped',
    file: 'coordinator/decisions/leases.ts',
    line: 'answers: part.answers.filter((answer) => answer.slot !== slot)',
    without: 'answers: part.answers',
    test: VOTES,
  },
  {
    name: 'a discarded result is removed from the sums',
    file: 'coordinator/decisions/votes.ts',
    line: 'sums.delete(top);',
    without: '',
  },
  {
    name: 'a worker that contradicts itself is not trusted',
    file: 'coordinator/decisions/results.ts',
    line: 'if (verdict.finite && earlier !== undefined && !isSameAnswer(earlier, answer))',
    without: 'if (verdict.finite && earlier !== undefined && earlier.slot === -1)',
    test: VOTES,
  },
  {
    name: 'memory that was released is not read again',
    file: 'shared/wire/frame.ts',
    line: 'if (!isAvailable) return false;',
    without: '',
    test: 'test/unit/shared/wire/frame.test.ts',
  },
  {
    name: 'a task that was overtaken is not computed after the later one',
    file: 'worker/session.ts',
    line: 'if (isOvertaken(state, task, message.step)) return { state, effects: [] };',
    without: '',
    test: 'test/unit/worker/session.test.ts',
  },
  {
    name: 'a frame that was replaced while it was copied is not used',
    file: 'shared/wire/channel.ts',
    line: 'if (this.#addon.load(this.#memory, at) !== number) throw replaced();',
    without: '',
    test: CHANNEL,
  },
  {
    name: 'a frame is not longer than its entry',
    file: 'shared/wire/channel.ts',
    line: 'if (length > CHANNEL_FRAME_BYTES - HEAD_BYTES)',
    without: 'if (length < 0)',
    test: CHANNEL,
  },
  {
    name: 'a rendezvous that a frame has closed is not used any more',
    file: 'shared/wire/rendezvous.ts',
    line: 'if (this.#isClosed()) return;',
    without: '',
    test: CHANNEL,
  },
  {
    name: 'a reader need not keep up with frames for others',
    file: 'shared/wire/channel.ts',
    line: 'if (!isAfter(mine, this.#last)) {',
    without: 'if (false) {',
    test: CHANNEL,
  },
  {
    name: 'a process that falls asleep looks once more, so that no frame is lost',
    file: 'shared/wire/rendezvous.ts',
    line: 'this.#addon.store(this.#own, STATE_AT, ASLEEP); for (const peer of this.#peers)',
    without: 'this.#addon.store(this.#own, STATE_AT, ASLEEP); for (const peer of [])',
    test: CHANNEL,
  },
  {
    name: 'a peer that publishes without a pause does not hold the event loop',
    file: 'shared/wire/rendezvous.ts',
    line: 'for (let i = 0; i < CHANNEL_FRAMES && this.#peers.has(peer); i++)',
    without: 'for (let i = 0; i < 1000 && this.#peers.has(peer); i++)',
    test: CHANNEL,
  },
  {
    name: 'weights that were replaced before they were read do not count as damaged',
    file: 'shared/wire/shared-memory.ts',
    line: 'this.#file.read(stamp, stampStart(buffer)) && ' + 'stamp.readBigUInt64LE() !== checksum',
    without: 'stamp.length === 0',
    test: SUSPENSION,
  },
  {
    name: 'time during which a process was suspended does not count',
    file: 'shared/clock.ts',
    line: 'if (isSuspension) this.#skipped += gap;',
    without: '',
    test: 'test/unit/shared/clock.test.ts',
  },
  {
    name: 'time that a process spends computing counts, even if its event loop is blocked',
    file: 'shared/clock.ts',
    line: 'gap >= SUSPENSION_MILLISECONDS && used - this.#used < gap / 2;',
    without: 'gap >= SUSPENSION_MILLISECONDS;',
    test: 'test/unit/shared/clock.test.ts',
  },
  {
    name: 'a worker that is repeatedly admitted and cut off gives up',
    file: 'worker/session.ts',
    line: 'state.failingSince === undefined ? since : state.failingSince + connected;',
    without: 'state.welcomedAt !== undefined ? now : (state.failingSince ?? now);',
    test: 'test/unit/worker/session.test.ts',
  },
  {
    name: 'a worker that sends too many unrequested messages is disconnected',
    file: 'shared/budget.ts',
    line: 'return remaining < 0 ? undefined : { left: remaining, at: now };',
    without: 'return remaining < -Infinity ? undefined : { left: remaining, at: now };',
    test: 'test/unit/coordinator/decisions/message-budget.test.ts',
  },
  {
    name: 'a requested result does not count against the message budget',
    file: 'coordinator/decisions/membership.ts',
    line: 'if (isResult && worker.unanswered > 0)',
    without: 'if (isResult && worker.unanswered < 0)',
    test: 'test/unit/coordinator/decisions/message-budget.test.ts',
  },
  {
    name: 'a worker that contradicts itself about a finished step is not trusted',
    file: 'coordinator/decisions/results.ts',
    line: 'if (earlier !== undefined && !isSameAnswer(earlier, answer))',
    without: 'if (earlier?.slot === -1)',
    test: VOTES,
  },
  {
    name: 'a worker that prepares for a long time does not keep other workers out',
    file: 'coordinator/decisions/membership.ts',
    line: 'const idler = longestPreparing(others, now);',
    without: 'const idler = longestPreparing([], now);',
    test: 'test/unit/coordinator/decisions/training-loop.test.ts',
  },
  {
    name: 'the number of samples per worker survives a crash',
    file: 'coordinator/open-run.ts',
    line: 'if (shares !== undefined) return shares;',
    without: '',
  },
  {
    name: 'a provisional fingerprint expires with the last worker that has it',
    file: 'coordinator/decisions/fingerprints.ts',
    line:
      "if (!isProvisional(state) || state.phase !== 'gathering') " +
      'return { state, effects: [] };',
    without: 'if (isProvisional(state) || !isProvisional(state)) return { state, effects: [] };',
    test: 'test/unit/coordinator/decisions/training-loop.test.ts',
  },
  {
    name: 'a provisional fingerprint expires if other workers are waiting',
    file: 'coordinator/decisions/membership.ts',
    line: 'if (holders.length === 0) return { state, effects: [] };',
    without: 'if (holders.length >= 0) return { state, effects: [] };',
    test: 'test/unit/coordinator/decisions/training-loop.test.ts',
  },
  {
    name: "a message's memory is reused only once it has been released",
    file: 'shared/wire/large-messages.ts',
    line: 'this.#options.deliver(message, () => (this.#spare = message));',
    without: 'this.#options.deliver(message, () => undefined);\n      this.#spare = message;',
    test: 'test/unit/shared/wire/large-messages.test.ts',
  },
  {
    name: 'a client frame without a mask is left to ws',
    file: 'shared/wire/websocket-head.ts',
    line: 'if ((mask !== undefined) !== isClient) return false;',
    without: '',
    test: 'test/unit/shared/wire/large-messages.test.ts',
  },
  {
    name: 'padding is not leased but added as zero',
    file: 'coordinator/decisions/reduce.ts',
    line: 'const siblingIsPadding = !hasReal(sibling, virtualShards, realShards);',
    without: 'const siblingIsPadding = false;',
  },
  {
    name: 'subnormal sums are flushed to zero',
    file: 'shared/kernels/reference-kernels.ts',
    line: 'if (!(Math.abs(rounded) < SMALLEST_NORMAL)) return rounded;',
    without: 'if (rounded === rounded) return rounded;',
  },
  {
    name: 'the leases of a worker that left are reassigned',
    file: 'coordinator/decisions/membership.ts',
    line: 'const task = state.task && withoutWorker(state.task, slot);',
    without: 'const task = state.task;',
  },
  {
    name: 'only an open lease can be late',
    file: 'coordinator/decisions/leases.ts',
    line: "return state === 'open' && deadline <= now;",
    without: "return state !== 'refused' && deadline <= now;",
  },
  {
    name: 'a part that misses its deadlines gets more time',
    file: 'coordinator/decisions/leases.ts',
    line: 'usualMilliseconds(times, kind, work) * 2 ** missed,',
    without: 'usualMilliseconds(times, kind, work),',
    test: 'test/unit/coordinator/decisions/leases.test.ts',
  },
  {
    name: 'a discarded body is accepted again from a worker that confirmed it',
    file: 'coordinator/decisions/results.ts',
    line: ' && votesFor(part, earlier) < part.quorum',
    without: '',
    test: VOTES,
  },
  {
    name: 'a forged checksum is detected by the digest',
    file: 'coordinator/decisions/votes.ts',
    line: 'if (isDigested && one.digest !== other.digest) return false;',
    without: '',
    test: VOTES,
  },
  {
    name: 'a preparing worker does not get more time than it announced',
    file: 'coordinator/decisions/membership.ts',
    line: 'const seen = isReady ? { ...worker, silentAt } : worker;',
    without: 'const seen = { ...worker, silentAt };',
    test: 'test/unit/coordinator/decisions/training-loop.test.ts',
  },
  {
    name: 'a coordinator that has ended does not handle events',
    file: 'coordinator/driver.ts',
    line: 'if (this.#shutdownReason !== undefined) return;',
    without: '',
    test: 'test/unit/coordinator/driver.test.ts',
  },
  {
    name: 'a worker that is still computing a part is not asked for it again',
    file: 'coordinator/decisions/leases.ts',
    line: "count(slot, 'late') === 0 && !isSpent(slot)",
    without: '!isSpent(slot)',
    likelySeed: 361,
  },
  {
    name: 'no step begins with too few workers',
    file: 'coordinator/decisions/training-loop.ts',
    line: "if (state.phase !== 'running') return { state, effects: [] };",
    without: '',
    likelySeed: 52,
  },
  {
    name: "a coordinator that resumes restores the optimizer's state",
    file: 'coordinator/tensors.ts',
    line: 'this.#kernels.floats(at, this.parameters).set(state[i] ?? []);',
    without: '',
  },
  {
    name: 'a run begins with the weights that it was given',
    file: 'coordinator/open-run.ts',
    line: 'else if (init !== undefined) tensors.restoreWeights(init);',
    without: '',
  },
  {
    name: 'a coordinator that resumes before the first checkpoint reads the given weights',
    file: 'coordinator/open-run.ts',
    line: 'return await readInit(directory, configurationOfRecord(record.configuration), disk);',
    without: 'return undefined;',
  },
  {
    name: 'a worker closes an idle connection',
    file: 'worker/link.ts',
    line: 'if (!this.#open || silent < limits.IDLE_LIMIT_MILLISECONDS) return;',
    without: 'if (!this.#open || silent < Infinity) return;',
    test: 'test/unit/worker/link.test.ts',
  },
  {
    name: 'workers of a coordinator that was taken over dial again',
    file: 'coordinator/serve.ts',
    line: "? 'LOCKED' : 'RUN_FAILED'",
    without: "? 'RUN_FAILED' : 'RUN_FAILED'",
    likelySeed: 37,
  },
  {
    name: 'each coordinator of a run has a higher term',
    file: 'coordinator/open-run.ts',
    line: 'old.record.term + 1',
    without: 'old.record.term',
  },
  {
    name: 'the term is on the disk before a worker receives it',
    file: 'coordinator/recorder.ts',
    line: 'await files.writeRun(this.#begun);',
    without: 'void files.writeRun(this.#begun).catch(() => undefined);',
  },
  {
    name: 'a step that is recomputed is not written again',
    file: 'coordinator/recorder.ts',
    line: 'if (recorded === undefined)\n      files.step(',
    without: 'if (step > 0)\n      files.step(',
  },
  {
    name: 'a step that is recomputed is compared with the recorded step',
    file: 'coordinator/recorder.ts',
    line:
      "else if (recorded.line.kind !== 'step' || recorded.line.chain !== chain) " +
      'throw differs(step, files.path);',
    without: '',
    test: 'test/unit/coordinator/replay/replay.test.ts',
  },
  {
    name: 'the checkpoint of the best evaluation is kept, however old it is',
    file: 'coordinator/recorder.ts',
    line: 'const spared = configuration.keepBest === true ? judgement?.best.step : undefined;',
    without: 'const spared = undefined;',
  },
  {
    name: 'the checkpoint of the best evaluation waits while the disk is full',
    file: 'coordinator/run-directory/space-wait.ts',
    line: '!isFull(error.cause) || this.#isClosed',
    without: 'isFull(error.cause) || this.#isClosed',
    likelySeed: 40,
  },
  {
    name: 'the checkpoint of the best evaluation is written',
    file: 'coordinator/recorder.ts',
    line: 'return this.#keepBest(state).then(',
    without: 'return Promise.resolve().then(',
  },
  {
    name: 'an evaluation after the last step of a shorter run counts in a longer one',
    file: 'coordinator/open-run.ts',
    line: 'repeated: repeatedSteps(old.lines, configuration),',
    without: '',
    test: 'test/unit/coordinator/replay/early-stopping.test.ts',
  },
  {
    name: 'workers learn that the run has finished only once its final record is on the disk',
    file: 'coordinator/serve.ts',
    line: 'const outcome = await driver.outcome;',
    without: 'const outcome = await driver.outcome; driver.shutDown(outcome);',
  },
];
