import type { Report } from '../../worker/native/setup-event.ts';
import { shortened } from './styled-line.ts';
import type { Output } from './output.ts';

/**
 * The progress display for set-up: on a terminal, each step is a live line that becomes permanent;
 * otherwise, each step is one line. Reports with the same text belong to the same step.
 */
export function setupProgress(output: Output): { report: Report; end: () => void } {
  let current: string | undefined;
  let line = '';
  const end = (): void => {
    if (output.isLive && current !== undefined) {
      output.draw('');
      output.write(line);
    }
    current = undefined;
  };
  const report: Report = ({ text, fraction }) => {
    const isNew = text !== current;
    if (isNew) end();
    current = text;
    const percent =
      fraction === undefined ? '' : ` ${String(Math.floor(fraction * 100)).padStart(3)} %`;
    line = `${text}${percent}`;
    if (output.isLive) output.draw(shortened(line, output.liveWidth));
    else if (isNew) output.write(text);
  };
  return { report, end };
}
