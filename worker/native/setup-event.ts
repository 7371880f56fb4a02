/** The progress of a long step. `fraction` is between 0 and 1, and present only if it is known. */
export interface SetupEvent {
  readonly text: string;
  readonly fraction?: number;
}

export type Report = (event: SetupEvent) => void;
