/** The names of files and folders in a run directory, RUNS/ID/. */
export const RECORD_FILE = 'run.json';
export const METRICS_FILE = 'metrics.jsonl';
export const EVENTS_FILE = 'events.jsonl';
export const MODEL_FILE = 'model.safetensors';
/** The weights that the run began with, if they were given (--init). */
export const INIT_FILE = 'init.safetensors';
export const CHECKPOINTS_FOLDER = 'checkpoints';
/** Identifies the run's owner to older versions. */
export const LOCK_FILE = 'lock.json';
/** The join string, while a coordinator runs. */
export const JOIN_FILE = 'join';
export const ARTIFACTS_FOLDER = 'artifacts';
/** In artifacts/, written last: if it exists, all artifacts exist. */
export const ARTIFACTS_MANIFEST = 'manifest.json';
/** In artifacts/: the test images that the model misclassifies. */
export const MISTAKES_FILE = 'misclassified.jsonl';
/** In artifacts/: the result, for programs. */
export const SUMMARY_FILE = 'summary.json';
/** In artifacts/: the report with all pictures, in one file. */
export const REPORT_FILE = 'report.html';

/**
 * The id of a run, which is also the name of its folder: it cannot be a path or the name of a
 * hidden file.
 */
export const RUN_ID = /^(?!\.)[A-Za-z0-9._-]{1,64}$/;

/** In the folder of a sweep, RUNS/NAME/: what it was started with. Its runs are next to it. */
export const SWEEP_FILE = 'sweep.json';
/** The same: the picture of what mattered. */
export const SWEEP_PICTURE = 'sweep.svg';
