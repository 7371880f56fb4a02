import {
  FIRST_MLFLOW_RETRY_MILLISECONDS,
  MAX_MLFLOW_RETRY_MILLISECONDS,
  MLFLOW_SILENCE_MILLISECONDS,
} from '../../shared/limits/tracker.ts';
import { MlflowError } from './mlflow-client.ts';
import type { Tell } from './tracker.ts';

export interface PatienceOptions {
  /** The address of the server, for messages. */
  readonly url: string;
  readonly tell: Tell;
  /** How long the end of a run waits for a server that accepts nothing, in milliseconds. */
  readonly closeMilliseconds: number;
}

/**
 * Repeats requests to MLflow for as long as a run trains, and for a limited time after its end. The
 * user is told once that the server does not accept anything, and once that it does again.
 */
export class PatientRequests {
  readonly #options: PatienceOptions;
  /** Ends all requests: the run is over, and the server has not accepted anything for a while. */
  readonly #giveUp = new AbortController();
  readonly #told = { isDown: false, isBack: false };
  #isClosing = false;
  /** Whether the last request failed. */
  #isDown = false;
  #deadline: NodeJS.Timeout | undefined;
  /** Ends the current pause. */
  #wake: () => void = () => undefined;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** Aborted when the requests are given up. */
  get signal(): AbortSignal {
    return this.#giveUp.signal;
  }

  /** Whether the run has ended. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** The run has ended: from now on, waiting has a limit, and `hurry` ends it at once. */
  async close(hurry: AbortSignal, requests: Promise<void>): Promise<void> {
    const { tell, closeMilliseconds } = this.#options;
    this.#isClosing = true;
    this.#wake();
    const onHurry = () => this.#abort();
    if (hurry.aborted) onHurry();
    hurry.addEventListener('abort', onHurry);
    this.extend();
    const say = (): void =>
      tell(
        'info',
        `waiting at most ${closeMilliseconds / 1000} s for MLflow (Ctrl-C ends the wait)`,
      );
    const saying = hurry.aborted
      ? undefined
      : setTimeout(say, this.#isDown ? 0 : MLFLOW_SILENCE_MILLISECONDS);
    await requests;
    clearTimeout(saying);
    clearTimeout(this.#deadline);
    hurry.removeEventListener('abort', onHurry);
  }

  /**
   * Repeats a request until the server accepts it. Rejects with MlflowError if it never will, or if
   * the run has ended and nothing was accepted for a while.
   */
  async persist<T>(
    request: () => Promise<T>,
    milliseconds = this.#options.closeMilliseconds,
  ): Promise<T> {
    this.extend(milliseconds);
    let pause = FIRST_MLFLOW_RETRY_MILLISECONDS;
    let refused: MlflowError | undefined;
    for (;;) {
      try {
        const result = await request();
        this.#accepted();
        return result;
      } catch (error) {
        if (!(error instanceof MlflowError) || !error.isTemporary) throw error;
        if (this.#giveUp.signal.aborted) throw refused ?? error;
        refused = error;
        this.#refused(error);
      }
      await this.pause(pause);
      pause = Math.min(2 * pause, MAX_MLFLOW_RETRY_MILLISECONDS);
    }
  }

  /** Once the run has ended: gives up if the server accepts nothing for this time. */
  extend(milliseconds = this.#options.closeMilliseconds): void {
    if (!this.#isClosing) return;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#abort(), milliseconds);
  }

  /** Waits for this time, or until the run ends. */
  async pause(milliseconds: number): Promise<void> {
    if (this.#giveUp.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      // While the run trains, its own timers keep the process alive.
      if (!this.#isClosing) timer.unref();
    });
  }

  #abort(): void {
    this.#giveUp.abort();
    this.#wake();
  }

  #refused({ message }: MlflowError): void {
    this.#isDown = true;
    if (this.#told.isDown) return;
    this.#told.isDown = true;
    const { tell, url } = this.#options;
    tell('warn', `MLflow at ${url} ${message}; training continues, and metrics wait`);
  }

  #accepted(): void {
    this.#isDown = false;
    if (!this.#told.isDown || this.#told.isBack) return;
    this.#told.isBack = true;
    this.#options.tell('info', `MLflow at ${this.#options.url} answers again`);
  }
}
