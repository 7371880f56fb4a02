/** Waits for a condition that is looked at after each change. */
export class Changes {
  #look: (error?: unknown) => void = () => undefined;

  /** Something has changed; with an error, the current wait rejects with it. */
  tell(error?: unknown): void {
    this.#look(error);
  }

  /** Resolves once `isDone` returns true. */
  async until(isDone: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#look = (error) => {
        if (error !== undefined) reject(error);
        else if (isDone()) resolve();
      };
      this.#look();
    });
  }

  /**
   * Sends, and again once `isAnswered` returns true, until `isLast` returns true after an answer.
   */
  async exchange(
    send: () => void,
    isAnswered: () => boolean,
    isLast: () => boolean,
  ): Promise<void> {
    send();
    await this.until(() => {
      if (!isAnswered()) return false;
      const isEnd = isLast();
      if (!isEnd) send();
      return isEnd;
    });
  }
}
