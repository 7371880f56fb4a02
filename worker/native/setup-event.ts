/** What a long step says while it runs. `fraction` is 0..1 where it is known. */
export interface SetupEvent {
  readonly text: string;
  readonly fraction?: number;
}

export type Report = (event: SetupEvent) => void;
