import type { CurvePoint } from '../feed/api.ts';
import { MAX_CURVE_POINTS } from './page-limits.ts';

const FIRST_CAPACITY = 1024;

/** Arrays of equal length, in step order. They are views, invalidated by the next append. */
export interface CurveColumns {
  readonly step: Float64Array;
  readonly loss: Float64Array;
  readonly accuracy: Float64Array;
  readonly samplesPerSecond: Float64Array;
  /** Exponential moving averages over about the last `memory` steps. */
  readonly smoothLoss: Float64Array;
  readonly smoothAccuracy: Float64Array;
  readonly smoothSpeed: Float64Array;
}

/**
 * The training curve. Each point covers the steps since the previous point. Appending takes
 * constant time, except when the capacity doubles. Once there are `limit` points, they are merged
 * in pairs and later points cover twice as many steps, so that the resolution is uniform.
 */
export class Curve {
  readonly #limit: number;
  readonly #memory: number;
  #step = new Float64Array(FIRST_CAPACITY);
  #loss = new Float64Array(FIRST_CAPACITY);
  #accuracy = new Float64Array(FIRST_CAPACITY);
  #speed = new Float64Array(FIRST_CAPACITY);
  #smoothLoss = new Float64Array(FIRST_CAPACITY);
  #smoothAccuracy = new Float64Array(FIRST_CAPACITY);
  #smoothSpeed = new Float64Array(FIRST_CAPACITY);
  #length = 0;
  /** The number of steps that a point may cover. */
  #span = 1;

  /** `memory` is the number of steps that the smooth columns average over. */
  constructor(memory: number, limit = MAX_CURVE_POINTS) {
    this.#memory = Math.max(1, memory);
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  /** The step of the newest point; 0 if there are no points. */
  get lastStep(): number {
    return this.#at(this.#step, this.#length - 1, 0);
  }

  get lastSmoothLoss(): number | undefined {
    return this.#smoothLoss.subarray(0, this.#length).at(-1);
  }

  get lastSmoothAccuracy(): number | undefined {
    return this.#smoothAccuracy.subarray(0, this.#length).at(-1);
  }

  get lastSmoothSpeed(): number | undefined {
    return this.#smoothSpeed.subarray(0, this.#length).at(-1);
  }

  columns(): CurveColumns {
    const view = (column: Float64Array) => column.subarray(0, this.#length);
    return {
      step: view(this.#step),
      loss: view(this.#loss),
      accuracy: view(this.#accuracy),
      samplesPerSecond: view(this.#speed),
      smoothLoss: view(this.#smoothLoss),
      smoothAccuracy: view(this.#smoothAccuracy),
      smoothSpeed: view(this.#smoothSpeed),
    };
  }

  /** Appends the points after the newest one; returns whether there were any. */
  append(points: readonly CurvePoint[]): boolean {
    let isNew = false;
    for (const [step, ...values] of points) {
      if (step <= this.lastStep) continue;
      // JSON cannot represent NaN, so a loss that is NaN arrives as null.
      const [loss = NaN, accuracy = NaN, speed = NaN] = values.map((value) => value ?? NaN);
      this.#add(step, loss, accuracy, speed);
      isNew = true;
    }
    return isNew;
  }

  #add(step: number, loss: number, accuracy: number, speed: number): void {
    const last = this.#length - 1;
    const steps = step - this.lastStep;
    // The values change quickly at first, so the averaging window grows with the curve.
    const memory = Math.min(this.#memory, 1 + this.lastStep / 4);
    const share = 1 - Math.exp(-steps / memory);
    const mix = (before: number, value: number) => {
      if (!Number.isFinite(before)) return value;
      return Number.isFinite(value) ? before + share * (value - before) : before;
    };
    const smooth = [
      mix(this.#at(this.#smoothLoss, last, loss), loss),
      mix(this.#at(this.#smoothAccuracy, last, accuracy), accuracy),
      // Averages times instead of speeds, because one fast step would distort a mean of speeds.
      1 / mix(1 / this.#at(this.#smoothSpeed, last, speed), 1 / speed),
    ] as const;
    const covered = this.#covered(last);
    if (last >= 0 && covered + steps <= this.#span) {
      const mean = (column: Float64Array, value: number) =>
        (this.#at(column, last, 0) * covered + value * steps) / (covered + steps);
      const joined = rate(covered, this.#at(this.#speed, last, 0), steps, speed);
      this.#set(last, step, mean(this.#loss, loss), mean(this.#accuracy, accuracy), joined);
      this.#setSmooth(last, ...smooth);
      return;
    }
    if (this.#length === this.#limit) this.#halve();
    this.#reserve();
    this.#set(this.#length, step, loss, accuracy, speed);
    this.#setSmooth(this.#length, ...smooth);
    this.#length += 1;
  }

  /** Merges the points in pairs. If the number of points is odd, the newest point is not merged. */
  #halve(): void {
    let to = 0;
    let before = 0;
    for (let from = 0; from < this.#length; from += 2) {
      const other = Math.min(from + 1, this.#length - 1);
      const middle = this.#at(this.#step, from, 0);
      const step = this.#at(this.#step, other, 0);
      const [first, second] = [middle - before, step - middle];
      const mean = (column: Float64Array) =>
        (this.#at(column, from, 0) * first + this.#at(column, other, 0) * second) /
        (first + second);
      const speed = rate(
        first,
        this.#at(this.#speed, from, 0),
        second,
        this.#at(this.#speed, other, 0),
      );
      this.#set(to, step, mean(this.#loss), mean(this.#accuracy), speed);
      const smooth = (column: Float64Array) => this.#at(column, other, 0);
      this.#setSmooth(
        to,
        smooth(this.#smoothLoss),
        smooth(this.#smoothAccuracy),
        smooth(this.#smoothSpeed),
      );
      before = step;
      to += 1;
    }
    this.#length = to;
    // Points that the coordinator downsampled may already cover many steps.
    this.#span = Math.max(this.#span * 2, Math.ceil(this.lastStep / to));
  }

  #covered(index: number): number {
    return index < 0 ? 0 : this.#at(this.#step, index, 0) - this.#at(this.#step, index - 1, 0);
  }

  #at(column: Float64Array, index: number, otherwise: number): number {
    return column[index] ?? otherwise;
  }

  #set(index: number, step: number, loss: number, accuracy: number, speed: number): void {
    this.#step[index] = step;
    this.#loss[index] = loss;
    this.#accuracy[index] = accuracy;
    this.#speed[index] = speed;
  }

  #setSmooth(index: number, loss: number, accuracy: number, speed: number): void {
    this.#smoothLoss[index] = loss;
    this.#smoothAccuracy[index] = accuracy;
    this.#smoothSpeed[index] = speed;
  }

  #reserve(): void {
    if (this.#length < this.#step.length) return;
    const grown = (column: Float64Array) => {
      const larger = new Float64Array(
        Math.min(column.length * 2, Math.max(this.#limit, column.length + 1)),
      );
      larger.set(column);
      return larger;
    };
    this.#step = grown(this.#step);
    this.#loss = grown(this.#loss);
    this.#accuracy = grown(this.#accuracy);
    this.#speed = grown(this.#speed);
    this.#smoothLoss = grown(this.#smoothLoss);
    this.#smoothAccuracy = grown(this.#smoothAccuracy);
    this.#smoothSpeed = grown(this.#smoothSpeed);
  }
}

/** The combined speed over two consecutive stretches of steps. */
function rate(steps: number, speed: number, otherSteps: number, otherSpeed: number): number {
  if (otherSteps === 0) return speed;
  return (steps + otherSteps) / (steps / speed + otherSteps / otherSpeed);
}
