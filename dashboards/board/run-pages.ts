import { join } from 'node:path';
import { readRunContents } from '../../coordinator/run-directory/run-contents.ts';
import { lstatIfThere } from '../../shared/disk/regular-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MODEL_FILE } from '../../shared/files/run-layout.ts';
import {
  MAX_BOARD_MODEL_BYTES,
  MAX_BOARD_RUN_PAGE_BYTES,
  MAX_BOARD_RUN_PAGES,
} from '../../shared/limits/board.ts';
import { RecordedRun } from '../feed/recorded-run.ts';
import type { Source } from '../feed/source.ts';
import type { LoadDataset } from './mistake-pairs.ts';
import { Recent } from './recent.ts';
import type { ListedRun } from './runs-folder.ts';

/** What the pages of single runs show, read when such a page is opened. */
export class RunPages {
  readonly #load: LoadDataset;
  readonly #recent = new Recent<Promise<Source>>(MAX_BOARD_RUN_PAGES);

  constructor(load: LoadDataset) {
    this.#load = load;
  }

  /** Rejects with a ClusterError if the run cannot be shown. */
  async of(run: ListedRun): Promise<Source> {
    const key = JSON.stringify([run.name, run.files.stamp, run.files.curve]);
    const known = this.#recent.get(key);
    if (known !== undefined) return await known;
    const opened = this.#open(run);
    this.#recent.set(key, opened);
    return await opened;
  }

  async #open(run: ListedRun): Promise<Source> {
    const { directory, files } = run;
    if (files.metricsBytes + files.eventsBytes > MAX_BOARD_RUN_PAGE_BYTES) throw tooLarge(run);
    if (!(await isSmall(join(directory, MODEL_FILE)))) throw tooLarge(run);
    const contents = await readRunContents(directory);
    const isShown = await Promise.all(contents.checkpoints.map(({ path }) => isSmall(path)));
    const checkpoints = contents.checkpoints.filter((_, index) => isShown[index]);
    // Only a finished run has a list of its mistakes.
    const dataset = run.record.result === undefined ? undefined : await this.#load(run);
    return await RecordedRun.open(
      { ...contents, checkpoints },
      typeof dataset === 'string' ? undefined : dataset,
    );
  }
}

async function isSmall(path: string): Promise<boolean> {
  return ((await lstatIfThere(path))?.size ?? 0) <= MAX_BOARD_MODEL_BYTES;
}

function tooLarge({ name }: ListedRun): ClusterError {
  return new ClusterError('LIMIT', `${name} is too large for the board`, {
    fix: 'open it with mnist-dist show',
  });
}
