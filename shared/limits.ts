/**
 * Every limit of the cluster; the last word of its name is its unit, and a name without a unit is a
 * count. A limit is the largest allowed value unless its sentence says otherwise. Options declare
 * their own ranges (cli/options/option-table.ts), and bin/owner.mjs declares what locks need before
 * anything is built. An error about a limit names the limit, its value, and the flag that changes
 * it, if one does.
 */

// Frames and messages.
/** Size of a frame's header. */
export const MAX_HEADER_BYTES = 4096;
/** The body of a frame begins at a multiple of this offset. */
export const FRAME_ALIGNMENT_BYTES = 64;
/** Size of a frame that a worker accepts without --max-model-bytes. */
export const DEFAULT_MAX_MODEL_BYTES = 64 * 1024 ** 2;
/** Size of a dataset that a worker accepts without --max-data-bytes. */
export const DEFAULT_MAX_DATA_BYTES = 1024 ** 3;
/** Size from which a message is received into reused memory. */
export const MIN_LARGE_MESSAGE_BYTES = 64 * 1024;
/** Size up to which a message is received into reused memory. */
export const MAX_LARGE_MESSAGE_BYTES = 4 * 1024 ** 2;
/** Size of the answer to GET /run. */
export const MAX_RUN_DESCRIPTION_BYTES = 64 * 1024;
/** Size of the headers of an HTTP request. */
export const MAX_REQUEST_HEADER_BYTES = 8 * 1024;
/** Size of the body of a coordinator's challenge. */
export const MAX_CHALLENGE_TEXT_BYTES = 1024;
/** Size of the pieces in which a dataset is sent. */
export const DATA_PIECE_BYTES = 1024 ** 2;
/** Length of the name of a run or a worker. */
export const MAX_NAME_CHARACTERS = 64;
/** Length of a text from a peer, such as the reason for closing a connection. */
export const MAX_TEXT_CHARACTERS = 1024;
/** Parts (shards or chunks) in one lease message. */
export const MAX_LEASED_PARTS = 256;
/** Chunks of an evaluation. */
export const MAX_EVALUATION_CHUNKS = 65_536;
/** Images in one chunk of an evaluation. */
export const EVALUATION_CHUNK_ROWS = 500;
/** Requests in which a worker fetches a dataset whose download breaks off. */
export const MAX_DATA_REQUESTS = 32;
/** Messages that a worker may send unasked at once, such as heartbeats or late results. */
export const MAX_SMALL_MESSAGES = 256;
/** Rate at which the allowance of MAX_SMALL_MESSAGES refills. */
export const SMALL_MESSAGES_PER_SECOND = 16;
/** Messages of a coordinator that wait in a worker; an honest coordinator waits for results. */
export const MAX_WAITING_MESSAGES = 1024;
/** The same for messages that carry weights. */
export const MAX_WAITING_WEIGHTS = 8;
/** Frames of a worker into which it writes results in turn. */
export const RESULT_FRAMES = 4;
/** Tensors in a shared memory, and versions of the weights in transit at once. */
export const SHARED_MEMORY_BUFFERS = 4;
/** Size of the file of a shared memory. */
export const MAX_SHARED_MEMORY_BYTES = 64 * 1024 ** 2;

// Connections.
/** Workers of a run. */
export const MAX_WORKERS = 256;
/** Admitted connections of a coordinator: its workers and other machines that fetch the dataset. */
export const MAX_CONNECTIONS = MAX_WORKERS + 32;
/**
 * Connections of a listener without a valid request yet. At 10,000 new connections a second, each
 * keeps its place for a tenth of a second.
 */
export const MAX_NEWCOMERS = 1024;
/** The same where the process may open few files. */
export const MIN_NEWCOMERS = 16;
/**
 * Connections that the system queues until they are accepted; a full queue delays a peer by a
 * second.
 */
export const LISTEN_BACKLOG = 4096;
/** Pairs of address and reason for which the coordinator logs refused connections separately. */
export const MAX_REFUSED_ADDRESSES = 64;
/** Time between two log lines about refused connections from one address. */
export const REFUSAL_INTERVAL_MILLISECONDS = 60_000;
/** Delay before a failed TLS handshake is logged: the peer may only have read the certificates. */
export const HANDSHAKE_DOUBT_MILLISECONDS = 5_000;
/** Time from the start of a connection to its proof of the token, with the TLS handshake. */
export const NEWCOMER_LIMIT_MILLISECONDS = 5_000;
/** Time from an upgrade to the worker's hello. */
export const HELLO_LIMIT_MILLISECONDS = 10_000;
/** Time for an HTTP request. */
export const REQUEST_LIMIT_MILLISECONDS = 10_000;
/** Interval between two checks for HTTP requests that take too long. */
export const REQUEST_CHECK_MILLISECONDS = 1_000;
/** Interval between two heartbeats of an idle connection. */
export const HEARTBEAT_INTERVAL_MILLISECONDS = 2_000;
/** Time after which a silent peer is disconnected. */
export const IDLE_LIMIT_MILLISECONDS = 20_000;
/** Time for a peer or a child process to finish after it was told to stop. */
export const CLOSE_LIMIT_MILLISECONDS = 2_000;
/** First pause of a worker before it dials again; each further pause is twice as long. */
export const FIRST_REDIAL_MILLISECONDS = 100;
/** Longest pause of a worker before it dials again. */
export const MAX_REDIAL_MILLISECONDS = 5_000;
/** Time for which a worker retries without --max-wait-time. */
export const DEFAULT_MAX_WAIT_SECONDS = 300;
/** Ports that are tried in turn when the default port is in use. */
export const MAX_PORT_TRIES = 100;

// Tokens and certificates.
/** Shortest token. */
export const MIN_TOKEN_CHARACTERS = 16;
/** Longest token. */
export const MAX_TOKEN_CHARACTERS = 512;
/** Size of a file with a token or a join string. */
export const MAX_TOKEN_FILE_BYTES = 4096;
/** Length of a join string. */
export const MAX_JOIN_CHARACTERS = 2048;
/** Pause in the terminal's input after which a paste is complete. */
export const PASTE_QUIET_MILLISECONDS = 300;
/** Interval between two reads of a stdin without data. */
export const STDIN_RETRY_MILLISECONDS = 20;
/** Size of a file with certificates or a key. */
export const MAX_PEM_FILE_BYTES = 1024 ** 2;
/** Certificates in the chain of a coordinator. */
export const MAX_CHAIN_CERTIFICATES = 16;
/** Lifetime of a certificate without --days. */
export const DEFAULT_CERTIFICATE_DAYS = 365;
/** Longest lifetime of a certificate. */
export const MAX_CERTIFICATE_DAYS = 3650;

// Training.
/** Virtual shards of a batch. */
export const MAX_VIRTUAL_SHARDS = 256;
/** Virtual shards of a batch without --virtual-shards. */
export const MAX_DEFAULT_VIRTUAL_SHARDS = 8;
/** Smallest virtual shard without --virtual-shards, in samples. */
export const MIN_DEFAULT_SHARD_ROWS = 8;
/** Samples in a batch. */
export const MAX_BATCH_SIZE = 65_536;
/** Epochs of a run. */
export const MAX_EPOCHS = 1_000_000;
/** Steps of a run. */
export const MAX_STEPS = 2 ** 31;
/** Hidden layers of a model. */
export const MAX_HIDDEN_LAYERS = 16;
/** Units of a hidden layer. */
export const MAX_LAYER_UNITS = 65_536;
/** Classes of a dataset. */
export const MAX_CLASSES = 256;
/** Pixels of an image in a dataset. */
export const MAX_INPUTS = 65_536;
/**
 * Shards in one TensorFlow graph. More shards save little time, because the overhead of a call is
 * small beside sixteen shards, but the gradients of all of them are in memory at once.
 */
export const MAX_GRAPH_SHARDS = 16;
/** Checkpoint interval without --checkpoint-every. */
export const DEFAULT_CHECKPOINT_SECONDS = 10;
/** Checkpoints to keep without --keep. */
export const DEFAULT_KEPT_CHECKPOINTS = 2;
/** Checkpoints to keep at most. */
export const MAX_KEPT_CHECKPOINTS = 10_000;
/** Interval between two computations of the gradient's norm. */
export const GRADIENT_NORM_MILLISECONDS = 250;

// Scheduling of workers.
/** Time to wait for workers without --rdzv-timeout. */
export const DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS = 600;
/** Time for a worker to load the data and build its engine. */
export const DEFAULT_PREPARE_LIMIT_MILLISECONDS = 300_000;
/** Longest time to prepare that a worker may ask for. */
export const MAX_PREPARE_LIMIT_MILLISECONDS = 1_800_000;
/** Time after which a preparing worker of a full run makes room for another worker. */
export const PREPARING_PLACE_MILLISECONDS = 30_000;
/** Lease of a part before any time was measured. */
export const FIRST_LEASE_MILLISECONDS = 30_000;
/** Shortest lease of a part. */
export const MIN_LEASE_MILLISECONDS = 200;
/** Longest lease of a part. */
export const MAX_LEASE_MILLISECONDS = 60_000;
/** Longest lease of a part that missed several deadlines. */
export const MAX_REPEATED_LEASE_MILLISECONDS = 3_600_000;
/** Latest times per shard whose median sets the deadline of a lease. */
export const REMEMBERED_TIMES = 32;
/**
 * Time in which the run's own workers must complete the first step while a worker with another
 * fingerprint waits.
 */
export const CLAIM_LIMIT_MILLISECONDS = 60_000;
/**
 * Missed leases and bad results after which a worker is set aside; each good result removes a
 * tenth.
 */
export const MAX_FAILURES = 3;
/** Time for which a worker that was set aside gets no parts. */
export const SET_ASIDE_MILLISECONDS = 30_000;
/** Time for which the measured speed of a worker is used. */
export const PACE_MEMORY_MILLISECONDS = 10_000;
/** Steps between two reviews of the assignment, for workers whose speed changed. */
export const PLAN_REVIEW_STEPS = 64;
/** Latest steps whose results are kept, to compare late results with them. */
export const REMEMBERED_STEPS = 64;
/** Results of one worker for a contested part: a single difference may be an accident. */
export const MAX_CONTESTED_ANSWERS = 2;
/** Latest workers with wrong results that run.json names. */
export const MAX_SUSPECTS = 64;
/** Interval between two ticks of the coordinator's clock. */
export const TICK_MILLISECONDS = 50;

// Files of a run and their readers.
/** Size of a file without tensors that is read whole, such as run.json. */
export const MAX_RUN_FILE_BYTES = 16 * 1024 ** 2;
/** Size of a line of metrics.jsonl, which has about 300 bytes. */
export const MAX_METRICS_LINE_BYTES = 4096;
/**
 * Size of a line of events.jsonl or misclassified.jsonl; a confusion matrix of 256 classes fits.
 */
export const MAX_JSON_LINE_BYTES = 1024 ** 2;
/** Size of the pieces in which a file of lines is read. */
export const LINE_PIECE_BYTES = 64 * 1024;
/** Size of the end of events.jsonl that a resuming coordinator shows. */
export const EVENTS_TAIL_BYTES = 8 * 1024 ** 2;
/** Size of the end of metrics.jsonl that is searched for its last line. */
export const METRICS_TAIL_BYTES = 4096;
/** Size of buffered lines from which they are written. */
export const METRICS_FLUSH_BYTES = 64 * 1024;
/** Time after which buffered lines are written. */
export const METRICS_FLUSH_MILLISECONDS = 1_000;
/** Size of the lines of metrics.jsonl that wait for a full disk. */
export const MAX_METRICS_BUFFER_BYTES = 64 * 1024 ** 2;
/** Size of the lines of events.jsonl that wait for a full disk. */
export const MAX_EVENTS_BUFFER_BYTES = 4 * 1024 ** 2;
/** Interval between two attempts to write to a full disk. */
export const DISK_RETRY_MILLISECONDS = 3_000;
/** Events about one worker in one EVENT_INTERVAL_MILLISECONDS. */
export const MAX_INTERVAL_EVENTS_OF_ONE = 64;
/** Events about all workers in one interval: 256 workers may join and leave twice. */
export const MAX_INTERVAL_EVENTS = 2048;
/** Length of the interval for the limits on events. */
export const EVENT_INTERVAL_MILLISECONDS = 60_000;
/**
 * Size of the file that grows by one byte with each renewal of a run's lock; a longer file is
 * emptied.
 */
export const MAX_RENEWALS_BYTES = 4096;
/** Run ids of one second that are tried until one is free. */
export const MAX_RUN_ID_TRIES = 16;
/** Attempts to take a lock that other coordinators take at the same time. */
export const MAX_LOCK_TRIES = 16;

// Files that users give.
/** Size of a configuration file. */
export const MAX_CONFIG_FILE_BYTES = 64 * 1024;
/** Size of a file with class names. */
export const MAX_LABELS_FILE_BYTES = 64 * 1024;
/** Size of the header of a safetensors file. */
export const MAX_TENSOR_FILE_HEADER_BYTES = 1024 ** 2;
/** Size of a model file. */
export const MAX_MODEL_FILE_BYTES = 2 * 1024 ** 3;
/** Size of an image file for predict. */
export const MAX_IMAGE_FILE_BYTES = 64 * 1024 ** 2;
/** Pixels of an image for predict. */
export const MAX_IMAGE_PIXELS = 2 ** 24;
/** Files in a data folder that may belong to a dataset. */
export const MAX_DATASET_CANDIDATES = 64;
/** Size of all datasets that workers of this machine have fetched and cached. */
export const MAX_DATASET_CACHE_BYTES = 4 * 1024 ** 3;
/** Time in which a pipe that an option names must reach its end. */
export const PIPE_LIMIT_MILLISECONDS = 30_000;
/** Interval between two reads of a pipe without data. */
export const PIPE_POLL_MILLISECONDS = 10;
/** Free space that a temporary folder needs: more than the largest graph for TensorFlow. */
export const TEMPORARY_TRIAL_BYTES = 1024 ** 2;

// Memory and processes.
/** Size of one WebAssembly memory. */
export const MAX_KERNEL_MEMORY_BYTES = 2 * 1024 ** 3;
/** Memory of a worker without --max-memory-bytes, the dataset aside. */
export const DEFAULT_MAX_WORKER_MEMORY_BYTES = 2 * 1024 ** 3;
/** Size of garbage among old objects from which it is collected. */
export const MAX_GARBAGE_BYTES = 12 * 1024 ** 2;
/**
 * WebAssembly memories of a worker at once: the engine's, the kernels', and two for the
 * fingerprint.
 */
export const MEMORIES_OF_A_WORKER = 4;
/** Open files that a process needs; Node opens 112 at once to load the program. */
export const MIN_OPEN_FILES = 256;
/** Pipes and sockets of one worker, in the process that has most of them. */
export const FILES_OF_A_WORKER = 4;
/** Workers that `local` starts without -n. */
export const DEFAULT_WORKERS = 2;
/** Restarts of the processes of `local` without --max-restarts. */
export const DEFAULT_MAX_RESTARTS = 100;
/**
 * First pause before a crashed process of `local` starts again; each further pause is twice as
 * long.
 */
export const FIRST_RESTART_MILLISECONDS = 100;
/** Longest pause before a crashed process of `local` starts again. */
export const MAX_RESTART_MILLISECONDS = 5_000;
/** Lifetime after which a restarted process counts as stable. */
export const STABLE_MILLISECONDS = 10_000;
/**
 * Successive ends with the same error before a process is ready, after which it is not started
 * again.
 */
export const MAX_FAILED_STARTS = 3;
/** Latest lines of output that are shown when a process of `local` fails. */
export const MAX_REMEMBERED_LINES = 20;
/** Time in which a process must end by itself after its parent ended. */
export const ORPHAN_LIMIT_MILLISECONDS = 2_000;
/** Interval between two readings of a process's clock. */
export const CLOCK_LOOK_MILLISECONDS = 500;
/** Shortest gap between two readings that may be a suspension of the process. */
export const SUSPENSION_MILLISECONDS = 2_000;
/** Interval between two readings of the processor time in a process that reads its clock often. */
export const PROCESSOR_LOOK_MILLISECONDS = 20;

// Set-up of the engine and GPUs.
/** Length of the output of a program of the set-up. */
export const MAX_PROGRAM_OUTPUT_CHARACTERS = 1024 ** 2;
/** Time for a program to print its version or a list of GPUs. */
export const PROGRAM_ANSWER_LIMIT_MILLISECONDS = 30_000;
/** Time for the first computation after TensorFlow's set-up. */
export const SMOKE_LIMIT_MILLISECONDS = 300_000;
/** Interval between two readings of the progress of a download by pip. */
export const DOWNLOAD_LOOK_MILLISECONDS = 500;
/** Size of the answer of nvidia-smi for all GPUs. */
export const MAX_GPU_ANSWER_BYTES = 64 * 1024;
/** Length of an error of nvidia-smi that is shown. */
export const MAX_GPU_COMPLAINT_CHARACTERS = 300;
/** GPUs that one worker reports, numbered from 0; their readings fit in a frame's header. */
export const MAX_GPUS = 16;
/** Largest power draw of a GPU that is accepted as a reading. */
export const MAX_GPU_WATTS = 100_000;
/** Interval between two questions of a worker to nvidia-smi. */
export const GPU_INTERVAL_MILLISECONDS = 5_000;
/** Time for nvidia-smi to answer. */
export const GPU_ANSWER_LIMIT_MILLISECONDS = 10_000;
/** Pause after a question that nvidia-smi did not answer. */
export const GPU_RETRY_MILLISECONDS = 60_000;
/** Shortest time between two reports of a worker's GPUs; an earlier report is dropped. */
export const MIN_DEVICES_INTERVAL_MILLISECONDS = 1_000;

// Artifact store.
/** Size of a stored file: S3 accepts no larger one in a single request. */
export const MAX_STORED_FILE_BYTES = 5 * 1024 ** 3;
/** Files of a stored run. */
export const MAX_STORED_FILES = 4096;
/** Size of the manifest of a stored run. */
export const MAX_MANIFEST_BYTES = 4 * 1024 ** 2;
/** Length of an object's key. */
export const MAX_STORE_KEY_BYTES = 1024;
/** Length of the name of a file or a folder in a store. */
export const MAX_STORE_NAME_CHARACTERS = 128;
/** Nested folders in a stored run. */
export const MAX_STORE_FOLDERS = 4;
/** Files that are transferred at once. */
export const MAX_STORE_TRANSFERS = 4;
/** Attempts of a request to a store. */
export const MAX_STORE_ATTEMPTS = 5;
/** First pause between two attempts; each further pause is twice as long. */
export const FIRST_STORE_RETRY_MILLISECONDS = 250;
/** Longest pause between two attempts. */
export const MAX_STORE_RETRY_MILLISECONDS = 5_000;
/** Time to connect to a store. */
export const STORE_CONNECT_MILLISECONDS = 10_000;
/** Time for a store to send or accept the next bytes. */
export const STORE_SILENCE_MILLISECONDS = 30_000;
/** Time for which a new run waits for its store before it starts without an answer. */
export const STORE_LOOK_MILLISECONDS = 10_000;

// Metrics and the live page.
/** Workers with a label of their own in metrics and on the page; all others share one label. */
export const MAX_OBSERVED_WORKERS = 64;
/** Names of workers that are counted for a run that ended. */
export const MAX_REMEMBERED_WORKERS = 4096;
/** Time for which a worker that left is shown. */
export const FORGET_WORKER_MILLISECONDS = 600_000;
/** Values of a histogram that are buffered, 8 bytes each. */
export const MAX_PENDING_OBSERVATIONS = 1024;
/** Points of the page's training curve. */
export const MAX_CURVE_POINTS = 4096;
/** Points of the curve in one update of a page. */
export const MAX_UPDATE_POINTS = 64;
/** Evaluations on the page. */
export const MAX_SHOWN_EVALUATIONS = 1000;
/** Events on the page. */
export const MAX_SHOWN_EVENTS = 200;
/** Changes of the number of workers on the page. */
export const MAX_SHOWN_CHANGES = 1000;
/** Misclassified images on the page and in the report. */
export const MAX_SHOWN_MISTAKES = 48;
/**
 * Pause after each piece of a resumed run's lines that is read for the page, as a multiple of the
 * time that reading it took.
 */
export const PAST_PAUSE_RATIO = 4;
/** Pages that are open at once. */
export const MAX_PAGES = 256;
/** Size of the updates that wait for a page before its connection is closed. */
export const MAX_PAGE_QUEUE_BYTES = 1024 ** 2;
/** Shortest interval between two updates of a page. */
export const PAGE_UPDATE_MILLISECONDS = 200;
/** Part of the interval between two updates for each open page. */
export const PAGE_COST_MILLISECONDS = 4;
/** Longest interval between two updates of a page. */
export const MAX_PAGE_UPDATE_MILLISECONDS = 1_000;
/** Interval between two heartbeats to a page without updates. */
export const PAGE_SIGN_OF_LIFE_MILLISECONDS = 5_000;
/** Size of all answers to pages in transit. */
export const MAX_PAGE_ANSWER_BYTES = 64 * 1024 ** 2;
/** Age of the weights that a page receives. */
export const PAGE_WEIGHTS_MILLISECONDS = 1_000;
/** Time for open pages to fetch the last weights at the end of a run. */
export const PAGE_FAREWELL_MILLISECONDS = 1_000;
/** Longest time for which the page is served after the end of a run. */
export const MAX_HTTP_LINGER_SECONDS = 3_600;

// Images and report of a run.
/** Points of a training curve, each the mean over equally many steps. */
export const MAX_DRAWN_POINTS = 512;
/** Evaluations in a curve and in summary.json, evenly chosen, with the last one. */
export const MAX_DRAWN_EVALUATIONS = 256;
/** Classes up to which a confusion matrix shows its counts. */
export const MAX_NUMBERED_CLASSES = 32;
/** Length of a drawn name, in multiples of the font size. */
export const MAX_DRAWN_NAME_EMS = 13;
/** Misclassified images on the contact sheet. */
export const MAX_SHEET_SAMPLES = 100;
/** Most frequently confused pairs of classes that a report names. */
export const MAX_REPORTED_CONFUSIONS = 10;

// Bench.
/** Time for which one piece of a step is measured in one repetition. */
export const BENCH_PIECE_MILLISECONDS = 100;
/** Time for which one wire is measured in one repetition. */
export const BENCH_WIRE_MILLISECONDS = 400;
/** Time that the steps of one run of the full loop take. */
export const BENCH_RUN_MILLISECONDS = 1_500;
/** Time after which a run of the bench is stopped. */
export const BENCH_RUN_LIMIT_MILLISECONDS = 120_000;
