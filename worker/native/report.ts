/** What a long step says while it runs. `fraction` is 0..1 where it is known. */
interface SetupEvent {
  readonly text: string;
  readonly fraction?: number;
}

export type Report = (event: SetupEvent) => void;

export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/**
 * Progress for people: on a terminal one line per step with the percentage in place, else one plain line per step.
 * A step is whatever has the same text.
 */
export function progressReport(stream: ProgressStream): { report: Report; end: () => void } {
  const live = stream.isTTY === true;
  let current: string | undefined;
  const end = (): void => {
    if (live && current !== undefined) stream.write('\n');
    current = undefined;
  };
  const report: Report = ({ text, fraction }) => {
    const isNew = text !== current;
    if (isNew) end();
    current = text;
    const percent = fraction === undefined ? '' : ` ${String(Math.floor(fraction * 100)).padStart(3)} %`;
    if (live) stream.write(`\r\u001b[K${text}${percent}`);
    else if (isNew) stream.write(`${text}\n`);
  };
  return { report, end };
}
