/**
 * All of the cluster's limits. The last word of a name is the unit; a name without a unit is a
 * count. Options declare their own ranges (cli/options/option-table.ts), bin/owner.mjs declares the
 * limits of locks (it runs before anything is built), shared/limits/model.ts declares those of
 * models, shared/limits/dataset.ts those of datasets, shared/limits/export.ts those of exports,
 * shared/limits/tracker.ts those of trackers, shared/limits/augment.ts those of augmentation, and
 * shared/wire/announcement-limits.ts those of announcements. An error about a limit contains the
 * limit's name and value, and the flag that changes it, if there is one.
 */

// Frames and messages.
/** Maximum size of a frame's header. */
export const MAX_HEADER_BYTES = 4096;
/** Alignment of a frame's body within the frame. */
export const FRAME_ALIGNMENT_BYTES = 64;
/** Largest frame that a worker accepts without --max-model-bytes. */
export const DEFAULT_MAX_MODEL_BYTES = 64 * 1024 ** 2;
/** Largest dataset that a worker accepts without --max-data-bytes. */
export const DEFAULT_MAX_DATA_BYTES = 1024 ** 3;
/** Smallest message that is received into reused memory. */
export const MIN_LARGE_MESSAGE_BYTES = 64 * 1024;
/** Largest message that is received into reused memory. */
export const MAX_LARGE_MESSAGE_BYTES = 4 * 1024 ** 2;
/** Maximum size of the response to GET /run. */
export const MAX_RUN_DESCRIPTION_BYTES = 64 * 1024;
/** Maximum size of the headers of an HTTP request. */
export const MAX_REQUEST_HEADER_BYTES = 8 * 1024;
/** Maximum number of reads, or of TLS records, in which they arrive. */
export const MAX_REQUEST_PIECES = 64;
/** Maximum size of the body of a coordinator's challenge. */
export const MAX_CHALLENGE_TEXT_BYTES = 1024;
/** A dataset is sent in pieces of this size. */
export const DATA_PIECE_BYTES = 1024 ** 2;
/** Maximum length of the name of a run or a worker. */
export const MAX_NAME_CHARACTERS = 64;
/** Maximum length of a string from a peer, such as the reason for closing a connection. */
export const MAX_TEXT_CHARACTERS = 1024;
/** Maximum number of parts (shards or chunks) in one lease message. */
export const MAX_LEASED_PARTS = 256;
/** Maximum number of chunks in an evaluation. */
export const MAX_EVALUATION_CHUNKS = 65_536;
/** Requests that a worker makes for a dataset whose download keeps failing. */
export const MAX_DATA_REQUESTS = 32;
/**
 * Maximum number of unrequested messages, such as heartbeats or late results, that a worker may
 * send in a burst.
 */
export const MAX_SMALL_MESSAGES = 256;
/** Rate at which the allowance of MAX_SMALL_MESSAGES refills. */
export const SMALL_MESSAGES_PER_SECOND = 16;
/** Maximum number of unprocessed messages that a worker queues; it expects far fewer. */
export const MAX_WAITING_MESSAGES = 1024;
/** Maximum number of unprocessed messages with weights that a worker queues. */
export const MAX_WAITING_WEIGHTS = 8;
/** Number of frames into which a worker writes its results in turn. */
export const RESULT_FRAMES = 4;
/** Tensors in a shared-memory file, and versions of the weights in transit at the same time. */
export const SHARED_MEMORY_BUFFERS = 4;
/** Frames in a channel. A correct peer is at most SHARED_MEMORY_BUFFERS behind. */
export const CHANNEL_FRAMES = 16;
/** Size of an entry in a channel; longer frames travel over the socket. */
export const CHANNEL_FRAME_BYTES = 2048;
/** Longest wait for peers on this host between two turns of the event loop. */
export const BLOCK_MICROSECONDS = 2000;
/** How long such a wait may spin with --spin auto: longer than most pauses within a step. */
export const SPIN_MICROSECONDS = 600;
/** Time without a frame after which it reads only its sockets. */
export const MAX_BLOCKING_MILLISECONDS = 20;
/** Most channels that a process can wait for at once, a limit of Linux. */
export const MAX_CHANNEL_PEERS = 128;
/** Maximum size of a shared-memory file. */
export const MAX_SHARED_MEMORY_BYTES = 64 * 1024 ** 2;

// Connections.
/** Maximum number of workers in a run. */
export const MAX_WORKERS = 256;
/** Maximum number of workers' connections to a coordinator, including those that are not ready. */
export const MAX_CONNECTIONS = MAX_WORKERS + 32;
/** Maximum number of simultaneous downloads of the dataset, and of other requests. */
export const MAX_REQUESTS = 192;
/** Maximum number of either from one network; a worker that gets no place retries. */
export const MAX_REQUESTS_PER_ADDRESS = 64;
/** Lowest average rate of a download of the dataset; a worker resumes one that was too slow. */
export const MIN_DATA_BYTES_PER_SECOND = 64 * 1024;
/** Worker connections that one address may open in quick succession; more than MAX_WORKERS. */
export const MAX_UPGRADES_PER_ADDRESS = 300;
/** How fast that allowance refills. Each connection in a flood costs about 8 ms of CPU time. */
export const UPGRADES_PER_SECOND = 4;
/** Addresses whose allowance is remembered. Only peers that know the token take up an entry. */
export const MAX_ADDRESSES_WITH_UPGRADES = 1024;
/**
 * Maximum number of connections to a listener that have not made a valid request yet. At 10,000 new
 * connections per second, each keeps its place for a tenth of a second.
 */
export const MAX_NEWCOMERS = 1024;
/** Lower bound of MAX_NEWCOMERS in a process that may open only a few files. */
export const MIN_NEWCOMERS = 16;
/**
 * Number of connections that the system queues until they are accepted; a full queue delays further
 * peers by a second.
 */
export const LISTEN_BACKLOG = 4096;
/**
 * Maximum number of address and reason pairs for which the coordinator logs refused connections
 * separately.
 */
export const MAX_REFUSED_ADDRESSES = 64;
/** Interval between two log lines about refused connections from one address. */
export const REFUSAL_INTERVAL_MILLISECONDS = 60_000;
/**
 * Delay before a failed TLS handshake is logged: the peer may have wanted only to read the
 * certificates.
 */
export const HANDSHAKE_DOUBT_MILLISECONDS = 5_000;
/** Time limit for a new connection to prove that it knows the token, TLS handshake included. */
export const NEWCOMER_LIMIT_MILLISECONDS = 5_000;
/** Time limit for the worker's hello after the upgrade. */
export const HELLO_LIMIT_MILLISECONDS = 10_000;
/** Time limit for an HTTP request. */
export const REQUEST_LIMIT_MILLISECONDS = 10_000;
/** The same for a worker whose --max-wait-time is shorter. */
export const MIN_REQUEST_LIMIT_MILLISECONDS = 1_000;
/** Interval between two checks for HTTP requests that take too long. */
export const REQUEST_CHECK_MILLISECONDS = 1_000;
/** Interval between two heartbeats on an idle connection. */
export const HEARTBEAT_INTERVAL_MILLISECONDS = 2_000;
/** How long a peer may be silent before it is disconnected. */
export const IDLE_LIMIT_MILLISECONDS = 20_000;
/** Time limit for a peer or a child process to finish after being told to stop. */
export const CLOSE_LIMIT_MILLISECONDS = 2_000;
/** Longest measurement in `mnist-dist bench`, including the start of its processes. */
export const MEASUREMENT_LIMIT_MILLISECONDS = 300_000;
/** First pause before a worker dials again; each further pause is twice as long. */
export const FIRST_REDIAL_MILLISECONDS = 100;
/** Longest pause before a worker dials again. */
export const MAX_REDIAL_MILLISECONDS = 5_000;
/** How long a worker keeps retrying without --max-wait-time. */
export const DEFAULT_MAX_WAIT_SECONDS = 300;
/** Number of ports that are tried in turn when the default port is in use. */
export const MAX_PORT_TRIES = 100;

// Tokens and certificates.
/** Minimum length of a token. */
export const MIN_TOKEN_CHARACTERS = 16;
/** Maximum length of a token. */
export const MAX_TOKEN_CHARACTERS = 512;
/** Maximum size of a file with a token or a join string. */
export const MAX_TOKEN_FILE_BYTES = 4096;
/** Maximum length of a join string. */
export const MAX_JOIN_CHARACTERS = 2048;
/** Pause in the terminal's input after which a paste is considered complete. */
export const PASTE_QUIET_MILLISECONDS = 300;
/** Interval between two reads of stdin while it has no data. */
export const STDIN_RETRY_MILLISECONDS = 20;
/** Maximum size of a file with certificates or a key. */
export const MAX_PEM_FILE_BYTES = 1024 ** 2;
/** Maximum number of certificates in a coordinator's chain. */
export const MAX_CHAIN_CERTIFICATES = 16;
/** Lifetime of a certificate without --days. */
export const DEFAULT_CERTIFICATE_DAYS = 365;
/** Maximum lifetime of a certificate. */
export const MAX_CERTIFICATE_DAYS = 3650;

// Training.
/** Maximum number of virtual shards in a batch. */
export const MAX_VIRTUAL_SHARDS = 256;
/** Maximum number of virtual shards in a batch without --virtual-shards. */
export const MAX_DEFAULT_VIRTUAL_SHARDS = 8;
/** Minimum number of samples in a virtual shard without --virtual-shards. */
export const MIN_DEFAULT_SHARD_ROWS = 8;
/** Maximum number of samples in a batch. */
export const MAX_BATCH_SIZE = 65_536;
/** Maximum number of epochs in a run. */
export const MAX_EPOCHS = 1_000_000;
/** Maximum number of steps in a run. */
export const MAX_STEPS = 2 ** 31;
/** Maximum learning rate, changes of it in a piecewise schedule, and weight decay. */
export const MAX_LEARNING_RATE = 1000;
export const MAX_RATE_CHANGES = 64;
export const MAX_WEIGHT_DECAY = 100;
/** Minimum of Adam's epsilon, in float32: a kernel sees a smaller one as 0, and 0 / 0 diverges. */
export const MIN_EPSILON = 2 ** -126;
/** Maximum number of classes in a dataset. */
export const MAX_CLASSES = 256;
/** Maximum number of pixels in a dataset image. */
export const MAX_INPUTS = 65_536;
/**
 * Maximum number of shards in one TensorFlow graph. More shards would save little time, because the
 * overhead of a call is already small compared with the time for sixteen shards, but they would
 * need more memory for their gradients.
 */
export const MAX_GRAPH_SHARDS = 16;
/** Checkpoint interval without --checkpoint-every. */
export const DEFAULT_CHECKPOINT_SECONDS = 10;
/** Number of checkpoints to keep without --keep. */
export const DEFAULT_KEPT_CHECKPOINTS = 2;
/** Maximum number of checkpoints to keep. */
export const MAX_KEPT_CHECKPOINTS = 10_000;
/** Interval between two computations of the gradient's norm. */
export const GRADIENT_NORM_MILLISECONDS = 250;

// Scheduling of workers.
/** How long to wait for workers without --rdzv-timeout. */
export const DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS = 600;
/** Time limit for a worker to load the data and build its engine. */
export const DEFAULT_PREPARE_LIMIT_MILLISECONDS = 300_000;
/** Longest preparation time that a worker may request. */
export const MAX_PREPARE_LIMIT_MILLISECONDS = 1_800_000;
/** How long a worker may prepare before a full run may give its place to another worker. */
export const PREPARING_PLACE_MILLISECONDS = 30_000;
/** Lease of a part before any computing time has been measured. */
export const FIRST_LEASE_MILLISECONDS = 30_000;
/** Shortest lease of a part. */
export const MIN_LEASE_MILLISECONDS = 200;
/** Longest lease of a part. */
export const MAX_LEASE_MILLISECONDS = 60_000;
/** Longest lease of a part that has missed several deadlines. */
export const MAX_REPEATED_LEASE_MILLISECONDS = 3_600_000;
/** Number of recent times per shard whose median determines the deadline of a lease. */
export const REMEMBERED_TIMES = 32;
/**
 * Deadline for the run's own workers to complete the first step while a worker with a different
 * fingerprint is waiting.
 */
export const CLAIM_LIMIT_MILLISECONDS = 60_000;
/**
 * How many missed leases and bad results a worker may have before it is set aside; each good result
 * subtracts a tenth.
 */
export const MAX_FAILURES = 3;
/** How long a worker that was set aside gets no parts. */
export const SET_ASIDE_MILLISECONDS = 30_000;
/** How long a worker's measured speed remains valid. */
export const PACE_MEMORY_MILLISECONDS = 10_000;
/**
 * Number of steps between two reviews of the assignment, which adapt it to workers whose speed has
 * changed.
 */
export const PLAN_REVIEW_STEPS = 64;
/** Number of recent steps whose results are kept for comparison with late results. */
export const REMEMBERED_STEPS = 64;
/**
 * Maximum number of results from one worker for a contested part: a single difference may be an
 * accident.
 */
export const MAX_CONTESTED_ANSWERS = 2;
/** Maximum number of workers with wrong results that run.json lists; the most recent are kept. */
export const MAX_SUSPECTS = 64;
/** Maximum time to dial a command's own coordinator before its workers are started. */
export const OWN_DIAL_MILLISECONDS = 2_000;
/** Interval between two ticks of the coordinator's clock. */
export const TICK_MILLISECONDS = 50;

// A run's files and their readers.
/** Maximum size of a file without tensors that is read as a whole, such as run.json. */
export const MAX_RUN_FILE_BYTES = 16 * 1024 ** 2;
/** Minimum size of the line of a step in metrics.jsonl. */
export const MIN_STEP_LINE_BYTES = 200;
/** Maximum size of a line of metrics.jsonl; real lines have about 300 bytes. */
export const MAX_METRICS_LINE_BYTES = 4096;
/**
 * Maximum size of a line of events.jsonl or misclassified.jsonl; a confusion matrix of 256 classes
 * fits.
 */
export const MAX_JSON_LINE_BYTES = 1024 ** 2;
/** A file of lines is read in pieces of this size. */
export const LINE_PIECE_BYTES = 64 * 1024;
/** Size of the tail of events.jsonl from which a resuming coordinator shows events. */
export const EVENTS_TAIL_BYTES = 8 * 1024 ** 2;
/** Size of the tail of metrics.jsonl that is searched for its last line. */
export const METRICS_TAIL_BYTES = 4096;
/** Buffered bytes that trigger a flush of lines. */
export const METRICS_FLUSH_BYTES = 64 * 1024;
/** Age of buffered lines that triggers a flush. */
export const METRICS_FLUSH_MILLISECONDS = 1_000;
/** Maximum size of the lines of metrics.jsonl that are buffered while the disk is full. */
export const MAX_METRICS_BUFFER_BYTES = 64 * 1024 ** 2;
/** Maximum size of the lines of events.jsonl that are buffered while the disk is full. */
export const MAX_EVENTS_BUFFER_BYTES = 4 * 1024 ** 2;
/** Interval between two attempts to write to a full disk. */
export const DISK_RETRY_MILLISECONDS = 3_000;
/** Maximum number of events about one worker per EVENT_INTERVAL_MILLISECONDS. */
export const MAX_INTERVAL_EVENTS_OF_ONE = 64;
/**
 * Maximum number of events about all workers in one interval: enough for 256 workers to join and
 * leave twice.
 */
export const MAX_INTERVAL_EVENTS = 2048;
/** Length of the interval for the limits on events. */
export const EVENT_INTERVAL_MILLISECONDS = 60_000;
/**
 * Maximum size of the file that grows by one byte with each renewal of a run's lock; the file is
 * then recreated.
 */
export const MAX_RENEWALS_BYTES = 4096;
/** Run ids tried for the same second before giving up. */
export const MAX_RUN_ID_TRIES = 16;
/** Number of attempts to take a lock that other coordinators also try to take. */
export const MAX_LOCK_TRIES = 16;

// Files that users provide.
/** Maximum size of a configuration file. */
export const MAX_CONFIG_FILE_BYTES = 64 * 1024;
/** Maximum size of a file with class names. */
export const MAX_LABELS_FILE_BYTES = 64 * 1024;
/** Maximum size of the header of a safetensors file. */
export const MAX_TENSOR_FILE_HEADER_BYTES = 1024 ** 2;
/** Maximum size of a model file. */
export const MAX_MODEL_FILE_BYTES = 2 * 1024 ** 3;
/** Maximum size of an image file for predict. */
export const MAX_IMAGE_FILE_BYTES = 64 * 1024 ** 2;
/** Maximum number of pixels in an image for predict. */
export const MAX_IMAGE_PIXELS = 2 ** 24;
/** Maximum number of files in a data folder whose names match those of a dataset. */
export const MAX_DATASET_CANDIDATES = 64;
/** Maximum total size of the datasets that workers on this machine have fetched and cached. */
export const MAX_DATASET_CACHE_BYTES = 4 * 1024 ** 3;
/** Time limit for reading to the end of a pipe that was passed to an option. */
export const PIPE_LIMIT_MILLISECONDS = 30_000;
/** Interval between two reads of a pipe while it has no data. */
export const PIPE_POLL_MILLISECONDS = 10;
/** Age of a temporary file in the cache at which its writer is assumed to have been killed. */
export const ABANDONED_FILE_MILLISECONDS = 3_600_000;

// Memory and processes.
/** Maximum size of one WebAssembly memory. */
export const MAX_KERNEL_MEMORY_BYTES = 2 * 1024 ** 3;
/** Maximum memory of a worker without --max-memory-bytes, not counting the dataset. */
export const DEFAULT_MAX_WORKER_MEMORY_BYTES = 2 * 1024 ** 3;
/** Old-generation garbage that triggers a collection. */
export const MAX_GARBAGE_BYTES = 12 * 1024 ** 2;
/**
 * Number of WebAssembly memories that a worker has at the same time: the engine's, the kernels',
 * and two for the fingerprint.
 */
export const MEMORIES_OF_A_WORKER = 4;
/**
 * How many files a process must be able to have open; Node alone opens 112 while it loads the
 * program.
 */
export const MIN_OPEN_FILES = 256;
/** Number of pipes and sockets per worker, in the process that has the most. */
export const FILES_OF_A_WORKER = 4;
/** Number of workers that `local` starts without -n. */
export const DEFAULT_WORKERS = 2;
/** Maximum number of restarts per process of `local` without --max-restarts. */
export const DEFAULT_MAX_RESTARTS = 100;
/** First pause before `local` restarts a crashed process; each further pause is twice as long. */
export const FIRST_RESTART_MILLISECONDS = 100;
/** Longest pause before a crashed process of `local` is restarted. */
export const MAX_RESTART_MILLISECONDS = 5_000;
/** How long a restarted process must run to count as stable. */
export const STABLE_MILLISECONDS = 10_000;
/**
 * Number of consecutive failures to start, with the same exit code, after which a process is no
 * longer restarted.
 */
export const MAX_FAILED_STARTS = 3;
/** Number of recent output lines that are shown when a process of `local` fails. */
export const MAX_REMEMBERED_LINES = 20;
/** Time limit for a coordinator or an engine's process to end after its parent told it to stop. */
export const STOP_LIMIT_MILLISECONDS = 300_000;
/** Time limit for a process to exit on its own after its parent has exited. */
export const ORPHAN_LIMIT_MILLISECONDS = 2_000;
/** Longest time between two SIGINTs that count as one Ctrl-C. */
export const SAME_INTERRUPT_MILLISECONDS = 500;
/** Interval between two readings of the clock in an idle process. */
export const CLOCK_LOOK_MILLISECONDS = 500;
/** Shortest gap between two clock readings that may mean that the process was suspended. */
export const SUSPENSION_MILLISECONDS = 2_000;
/** Minimum interval between two readings of the processor time. */
export const PROCESSOR_LOOK_MILLISECONDS = 20;

// Engine set-up and GPUs.
/** Output kept from a program that set-up runs. */
export const MAX_PROGRAM_OUTPUT_CHARACTERS = 1024 ** 2;
/** Time limit for a program to print its version or a list of GPUs. */
export const PROGRAM_ANSWER_LIMIT_MILLISECONDS = 30_000;
/** Time limit for the first computation after TensorFlow has been set up. */
export const SMOKE_LIMIT_MILLISECONDS = 300_000;
/** Interval between two readings of a pip download's progress. */
export const DOWNLOAD_LOOK_MILLISECONDS = 500;
/** Maximum size of nvidia-smi's output for all GPUs. */
export const MAX_GPU_ANSWER_BYTES = 64 * 1024;
/** Maximum length of an nvidia-smi error that is shown. */
export const MAX_GPU_COMPLAINT_CHARACTERS = 300;
/** Maximum number of GPUs that one worker reports; their readings fit in a frame's header. */
export const MAX_GPUS = 16;
/** Largest power draw of a GPU that is accepted as a reading. */
export const MAX_GPU_WATTS = 100_000;
/** Interval between two queries that a worker sends to nvidia-smi. */
export const GPU_INTERVAL_MILLISECONDS = 5_000;
/** Time limit for nvidia-smi to answer. */
export const GPU_ANSWER_LIMIT_MILLISECONDS = 10_000;
/** Pause after a query that nvidia-smi did not answer. */
export const GPU_RETRY_MILLISECONDS = 60_000;
/** Minimum interval between two reports of a worker's GPUs; an earlier report is dropped. */
export const MIN_DEVICES_INTERVAL_MILLISECONDS = 1_000;

// Artifact store.
/** Maximum size of a stored file; S3 does not accept a larger one in a single request. */
export const MAX_STORED_FILE_BYTES = 5 * 1024 ** 3;
/** Maximum number of files in a stored run. */
export const MAX_STORED_FILES = 4096;
/** Maximum size of the manifest of a stored run. */
export const MAX_MANIFEST_BYTES = 4 * 1024 ** 2;
/** Maximum length of an object's key. */
export const MAX_STORE_KEY_BYTES = 1024;
/** Maximum length of the name of a file or a folder in a store. */
export const MAX_STORE_NAME_CHARACTERS = 128;
/** Maximum depth of nested folders in a stored run. */
export const MAX_STORE_FOLDERS = 4;
/** Maximum number of files that are transferred concurrently. */
export const MAX_STORE_TRANSFERS = 4;
/** Maximum number of attempts at one request to a store. */
export const MAX_STORE_ATTEMPTS = 5;
/** First pause between two attempts; each further pause is twice as long. */
export const FIRST_STORE_RETRY_MILLISECONDS = 250;
/** Longest pause between two attempts. */
export const MAX_STORE_RETRY_MILLISECONDS = 5_000;
/** Time limit for connecting to a store. */
export const STORE_CONNECT_MILLISECONDS = 10_000;
/** Time limit for a store to send or accept the next bytes. */
export const STORE_SILENCE_MILLISECONDS = 30_000;
/** How long a new run waits for an answer from its store before it starts without one. */
export const STORE_LOOK_MILLISECONDS = 10_000;

// Metrics and the live page.
/**
 * Maximum number of workers with a label of their own in metrics and on the page; all others share
 * one label.
 */
export const MAX_OBSERVED_WORKERS = 64;
/** Maximum number of worker names that are counted for a run that has ended. */
export const MAX_REMEMBERED_WORKERS = 4096;
/** How long a departed worker stays visible. */
export const FORGET_WORKER_MILLISECONDS = 600_000;
/** Maximum number of buffered values of a histogram, 8 bytes each. */
export const MAX_PENDING_OBSERVATIONS = 1024;
/** Maximum number of points in the page's training curve. */
export const MAX_CURVE_POINTS = 4096;
/** Maximum number of points of the curve in one update to a page. */
export const MAX_UPDATE_POINTS = 64;
/** Maximum number of evaluations on the page. */
export const MAX_SHOWN_EVALUATIONS = 1000;
/** Maximum number of events on the page. */
export const MAX_SHOWN_EVENTS = 200;
/** Maximum number of workers' state changes on the page. */
export const MAX_SHOWN_CHANGES = 1000;
/** Maximum number of misclassified images on the page and in the report. */
export const MAX_SHOWN_MISTAKES = 48;
/**
 * Pause after each piece of a resumed run's lines that is read for the page, as a multiple of the
 * time that reading the piece took.
 */
export const PAST_PAUSE_RATIO = 4;
/** Maximum number of pages that are open at the same time. */
export const MAX_PAGES = 256;
/** Maximum size of the updates queued for a page, above which its connection is closed. */
export const MAX_PAGE_QUEUE_BYTES = 1024 ** 2;
/** Shortest interval between two updates to a page. */
export const PAGE_UPDATE_MILLISECONDS = 200;
/**
 * Update interval per open page. The total is kept between the shortest and the longest interval.
 */
export const PAGE_COST_MILLISECONDS = 4;
/** Longest interval between two updates to a page. */
export const MAX_PAGE_UPDATE_MILLISECONDS = 1_000;
/** Interval between two heartbeats to a page that has no updates. */
export const PAGE_SIGN_OF_LIFE_MILLISECONDS = 5_000;
/** Maximum total size of the page responses in transit. */
export const MAX_PAGE_ANSWER_BYTES = 64 * 1024 ** 2;
/** Maximum age of the weights that a page receives. */
export const PAGE_WEIGHTS_MILLISECONDS = 1_000;
/** How long open pages have to fetch the last weights at the end of a run. */
export const PAGE_FAREWELL_MILLISECONDS = 1_000;
/** Maximum time to serve the page after the end of a run. */
export const MAX_HTTP_LINGER_SECONDS = 3_600;

// A run's images and report.
/** Maximum number of points in a training curve, each the mean over equally many steps. */
export const MAX_DRAWN_POINTS = 512;
/**
 * Maximum number of evaluations in a curve and in summary.json: they are evenly spaced and always
 * include the last.
 */
export const MAX_DRAWN_EVALUATIONS = 256;
/** Maximum number of classes for which a confusion matrix shows its counts. */
export const MAX_NUMBERED_CLASSES = 32;
/** Maximum length of a drawn name, in multiples of the font size. */
export const MAX_DRAWN_NAME_EMS = 13;
/** Maximum number of misclassified images on the contact sheet. */
export const MAX_SHEET_SAMPLES = 100;
/** Maximum number of pairs of confused classes that a report lists; the most frequent are kept. */
export const MAX_REPORTED_CONFUSIONS = 10;
