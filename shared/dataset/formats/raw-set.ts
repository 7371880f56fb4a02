/** One half of a dataset as the reader of a format returns it, before it becomes idx files. */
export interface RawHalf {
  readonly rows: number;
  readonly columns: number;
  readonly samples: number;
  /** [samples, rows, columns] pixels, 0-255. */
  readonly images: Uint8Array;
  /** [samples] classes as the files have them. */
  readonly labels: Uint8Array;
  /** Names a sample's label in messages, such as "train.csv, line 12". */
  readonly placeOf: (sample: number) => string;
}

/** A dataset as the reader of a format returns it. */
export interface RawSet {
  readonly train: RawHalf;
  /** Undefined if the source has only a training set. */
  readonly test: RawHalf | undefined;
  /** The names of the classes, if the format has names. */
  readonly classNames: readonly string[] | undefined;
  /** What a user should know about how the files were read. */
  readonly notes: readonly string[];
}
