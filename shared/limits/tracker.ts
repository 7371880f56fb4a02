/** The limits of trackers. The last word of a name is the unit; a name without one is a count. */

/** Interval between two writes to an event file. */
export const EVENT_FLUSH_MILLISECONDS = 1_000;
/** Waiting records that trigger a write to an event file. */
export const EVENT_FLUSH_BYTES = 256 * 1024;
/** Maximum size of the records that wait for the disk; further records are left out. */
export const MAX_EVENT_QUEUE_BYTES = 8 * 1024 ** 2;
/** Maximum size of a picture in an event file. */
export const MAX_EVENT_PICTURE_BYTES = 16 * 1024 ** 2;
/** Interval between two values of the speed, and of a gradient norm that has to be computed. */
export const TRACKED_SPEED_MILLISECONDS = 250;
/** Number of earlier steps that are read before they are written to an event file. */
export const RECALLED_EVENTS = 1_000;
/** How long the end of a run waits for a disk that does not write its event file. */
export const EVENT_CLOSE_MILLISECONDS = 10_000;

/** Interval between two batches of metrics for MLflow. */
export const MLFLOW_FLUSH_MILLISECONDS = 3_000;
/** Number of points in each curve of a run in MLflow; each is the mean of neighbouring steps. */
export const MLFLOW_POINTS = 1_000;
/** Maximum number of metrics in a batch, which MLflow limits. */
export const MLFLOW_BATCH_METRICS = 1_000;
/** Maximum number of parameters in a batch, which MLflow limits. */
export const MLFLOW_BATCH_PARAMETERS = 100;
/** Maximum length of a parameter; older versions of MLflow accept no more. */
export const MLFLOW_PARAMETER_CHARACTERS = 500;
/** Maximum number of metrics that wait for the server; further ones are left out. */
export const MAX_MLFLOW_QUEUE = 20_000;
/** Maximum number of files in artifacts/ that are sent to the server. */
export const MAX_MLFLOW_FILES = 256;
/** Maximum size of an answer of the server. */
export const MAX_MLFLOW_ANSWER_BYTES = 4 * 1024 ** 2;
/** Maximum length of the server's answer in a message. */
export const MAX_MLFLOW_COMPLAINT_CHARACTERS = 300;
/** Time limit for an answer of the server. */
export const MLFLOW_ANSWER_LIMIT_MILLISECONDS = 30_000;
/** First pause after a request that failed; each further pause is twice as long. */
export const FIRST_MLFLOW_RETRY_MILLISECONDS = 500;
/** Longest pause between two attempts at a request. */
export const MAX_MLFLOW_RETRY_MILLISECONDS = 15_000;
/** How long the end of a run waits for a server that accepts nothing. */
export const MLFLOW_CLOSE_MILLISECONDS = 15_000;
/** How long the end of a run waits for the server before it says so. */
export const MLFLOW_SILENCE_MILLISECONDS = 500;
/** The lowest speed at which a file is expected to be sent, in bytes per millisecond. */
export const MIN_MLFLOW_UPLOAD_SPEED = 100;
