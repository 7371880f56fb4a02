/** The progress of a long step. `fraction` is 0..1 if it is known. */
export interface SetupEvent {
  readonly text: string;
  readonly fraction?: number;
}

export type Report = (event: SetupEvent) => void;
