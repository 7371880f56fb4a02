/**
 * Every limit of the cluster, with its unit in the name; only what an option may be at most stands
 * with the option, in cli/options/option-table.ts, and what the locks need, which also run unbuilt,
 * in bin/owner.mjs. A message that runs into a limit names the limit, its value and the flag that
 * changes it, if one does.
 */

// Sizes on the wire.
export const MAX_HEADER_BYTES = 4096;
export const FRAME_ALIGNMENT_BYTES = 64;
export const DEFAULT_MAX_MODEL_BYTES = 64 * 1024 ** 2;
export const DEFAULT_MAX_DATA_BYTES = 1024 ** 3;
/** Of all datasets that workers have fetched and that are kept on this machine. */
export const MAX_DATASET_CACHE_BYTES = 4 * 1024 ** 3;
/** Of a dataset that is sent, at once. */
export const DATA_PIECE_BYTES = 1024 ** 2;
export const MAX_RUN_DESCRIPTION_BYTES = 64 * 1024;
/** Of a certificate or a key. */
export const MAX_PEM_FILE_BYTES = 1024 ** 2;
export const DEFAULT_CERTIFICATE_DAYS = 365;
export const MAX_CERTIFICATE_DAYS = 3650;
export const MAX_JOIN_CHARACTERS = 2048;
/** A terminal from which nothing has come for so long has sent all of a paste. */
export const PASTE_QUIET_MILLISECONDS = 300;
/** How often a stdin that does not block is read again. */
export const STDIN_RETRY_MILLISECONDS = 20;
/** Of a chain that a coordinator shows. */
export const MAX_CHAIN_CERTIFICATES = 16;
export const MAX_REQUEST_HEADER_BYTES = 8 * 1024;
/** Of the text beside a coordinator's challenge. */
export const MAX_CHALLENGE_TEXT_BYTES = 1024;

// Sizes in memory and on disk.
/** Of a message that has memory of its own on its connection. */
export const MIN_LARGE_MESSAGE_BYTES = 64 * 1024;
export const MAX_LARGE_MESSAGE_BYTES = 4 * 1024 ** 2;
export const MAX_KERNEL_MEMORY_BYTES = 2 * 1024 ** 3;
/** Of a worker for one configuration, beside the dataset. */
export const DEFAULT_MAX_WORKER_MEMORY_BYTES = 2 * 1024 ** 3;
export const MAX_CONFIG_FILE_BYTES = 64 * 1024;
export const MAX_TOKEN_FILE_BYTES = 4096;
export const MAX_LABELS_FILE_BYTES = 64 * 1024;
export const MAX_TENSOR_FILE_HEADER_BYTES = 1024 ** 2;
export const MAX_SHARED_MEMORY_BYTES = 64 * 1024 ** 2;
/** Of a picture that `predict` reads. */
export const MAX_IMAGE_FILE_BYTES = 64 * 1024 ** 2;
export const MAX_MODEL_FILE_BYTES = 2 * 1024 ** 3;
/** Of a file in a run's directory that is read whole and holds no tensors, such as run.json. */
export const MAX_RUN_FILE_BYTES = 16 * 1024 ** 2;
/** Of a line of metrics.jsonl, which has about 300. */
export const MAX_METRICS_LINE_BYTES = 4096;
/**
 * Of a line of events.jsonl or misclassified.jsonl that is read: a confusion matrix of 256 classes
 * fits.
 */
export const MAX_JSON_LINE_BYTES = 1024 ** 2;
/** What is read of a run's lines at once. */
export const LINE_PIECE_BYTES = 64 * 1024;
/** Of the end of an events.jsonl that a coordinator which resumes the run shows. */
export const EVENTS_TAIL_BYTES = 8 * 1024 ** 2;
/** How much of a metrics.jsonl is read to find its last line. */
export const METRICS_TAIL_BYTES = 4096;
/** What may pile up among a process' old objects before they are collected. */
export const MAX_GARBAGE_BYTES = 12 * 1024 ** 2;
export const METRICS_FLUSH_BYTES = 64 * 1024;
export const MAX_METRICS_BUFFER_BYTES = 64 * 1024 ** 2;
export const MAX_EVENTS_BUFFER_BYTES = 4 * 1024 ** 2;
/**
 * Events that name workers, in one interval: of one name, and of all together. 256 workers may come
 * and go twice.
 */
export const MAX_INTERVAL_EVENTS_OF_ONE = 64;
export const MAX_INTERVAL_EVENTS = 2048;
export const EVENT_INTERVAL_MILLISECONDS = 60_000;
/** Of the file that grows by a byte with each renewal of a run's lock; then it begins anew. */
export const MAX_RENEWALS_BYTES = 4096;
/** What nvidia-smi may say of all GPUs together. */
export const MAX_GPU_ANSWER_BYTES = 64 * 1024;
export const MIN_TOKEN_CHARACTERS = 16;
export const MAX_TOKEN_CHARACTERS = 512;

// Counts.
/** Files of a data folder whose names are those of a dataset's files. */
export const MAX_DATASET_CANDIDATES = 64;
export const MAX_IMAGE_PIXELS = 2 ** 24;
export const RESULT_FRAMES = 4;
/**
 * What a worker may say at once, and for how long, without being asked: heartbeats, reports, pings,
 * results too late.
 */
export const MAX_SMALL_MESSAGES = 256;
export const SMALL_MESSAGES_PER_SECOND = 16;
/**
 * Shards in one graph of TensorFlow. More would save little, since the overhead of a call is small
 * beside sixteen shards, but every shard's gradient is alive at once before the tree sums them.
 */
export const MAX_GRAPH_SHARDS = 16;
/**
 * What a worker keeps that a coordinator sent, while it cannot take more: an honest one waits for
 * its answer.
 */
export const MAX_WAITING_MESSAGES = 1024;
export const MAX_WAITING_WEIGHTS = 8;
/** Also how many versions of the weights may be on their way at once. */
export const SHARED_MEMORY_ROOMS = 4;
export const MAX_WORKERS = 256;
/**
 * Admitted connections of a coordinator: its workers', and those by which others fetch the dataset
 * meanwhile.
 */
export const MAX_CONNECTIONS = MAX_WORKERS + 32;
/**
 * Connections of a listener that have proved or asked nothing yet. At 10,000 new ones a second each
 * has a tenth of a second for its next message.
 */
export const MAX_NEWCOMERS = 1024;
/** Where a process may have few files open. */
export const MIN_NEWCOMERS = 16;
/**
 * Connections that the system keeps until they are accepted; a full queue costs a dialling peer a
 * second.
 */
export const LISTEN_BACKLOG = 4096;
/** Addresses and reasons of refused connections that a coordinator's log tells apart. */
export const MAX_REFUSED_ADDRESSES = 64;
export const MAX_VIRTUAL_SHARDS = 256;
export const MAX_DEFAULT_VIRTUAL_SHARDS = 8;
export const MIN_DEFAULT_SHARD_ROWS = 8;
export const MAX_BATCH_SIZE = 65_536;
export const MAX_EPOCHS = 1_000_000;
export const MAX_STEPS = 2 ** 31;
export const MAX_HIDDEN_LAYERS = 16;
export const MAX_LAYER_UNITS = 65_536;
export const MAX_CLASSES = 256;
export const MAX_INPUTS = 65_536;
export const MAX_NAME_CHARACTERS = 64;
export const MAX_TEXT_CHARACTERS = 1024;
export const EVALUATION_CHUNK_ROWS = 500;
export const MAX_LEASED_PARTS = 256;
/** How often the download of a dataset goes on where it broke off. */
export const MAX_DATA_REQUESTS = 32;
export const MAX_EVALUATION_CHUNKS = 65_536;
/**
 * Missed leases and bad results of a worker before it is set aside; every good result takes back a
 * tenth.
 */
export const MAX_FAILURES = 3;
/** Steps after which the plan is looked at again, should workers have become faster or slower. */
export const PLAN_REVIEW_STEPS = 64;
/** Steps whose results are remembered, to compare what comes late with them. */
export const REMEMBERED_STEPS = 64;
/** Times per shard of which the median is taken for a lease's deadline, the last ones. */
export const REMEMBERED_TIMES = 32;
/**
 * Of two that differ, each is asked once more when nobody else is there: it may have been an
 * accident.
 */
export const MAX_CONTESTED_ANSWERS = 2;
/** Run ids of one second that are tried until one is free. */
export const MAX_RUN_ID_TRIES = 16;
/** Times that a coordinator tries to take a lock which others take at the same moment. */
export const MAX_LOCK_TRIES = 16;
/** Workers found to be wrong that a run's record names, the last ones. */
export const MAX_SUSPECTS = 64;
/** GPUs of one worker that are reported, numbered from 0: all of them fit a header. */
export const MAX_GPUS = 16;

/** Checkpoints that are kept without --keep. */
export const DEFAULT_KEPT_CHECKPOINTS = 2;
export const MAX_KEPT_CHECKPOINTS = 10_000;

// Programs that the set-up and `local` start.
export const MAX_PROGRAM_OUTPUT_CHARACTERS = 1024 ** 2;
export const MAX_GPU_COMPLAINT_CHARACTERS = 300;
/** The last lines of a process of `local`, for when it ends badly. */
export const MAX_REMEMBERED_LINES = 20;
/** For a version, or for the list of GPUs. */
export const PROGRAM_ANSWER_LIMIT_MILLISECONDS = 30_000;
/** For the first computation after TensorFlow's set-up. */
export const SMOKE_LIMIT_MILLISECONDS = 300_000;
/** How often a download by pip is looked at, to show how far it is. */
export const DOWNLOAD_LOOK_MILLISECONDS = 500;

// What is kept in a store.
/** S3 takes no more in one request. */
export const MAX_STORED_FILE_BYTES = 5 * 1024 ** 3;
export const MAX_STORED_FILES = 4096;
export const MAX_MANIFEST_BYTES = 4 * 1024 ** 2;
export const MAX_STORE_KEY_BYTES = 1024;
/** Of a file's or a folder's name in a store. */
export const MAX_STORE_NAME_CHARACTERS = 128;
export const MAX_STORE_FOLDERS = 4;
export const MAX_STORE_TRANSFERS = 4;
/** How often a request to a store is made; the wait in between is doubled each time. */
export const MAX_STORE_ATTEMPTS = 5;

// What is shown of a run.
/**
 * Workers with a label of their own in metrics and on the page; all others together are one more.
 */
export const MAX_OBSERVED_WORKERS = 64;
/**
 * Workers of a run that is over whose names are told apart; of more, the others are not counted.
 */
export const MAX_REMEMBERED_WORKERS = 4096;
/** How long a worker is shown that is gone. */
export const FORGET_WORKER_MILLISECONDS = 600_000;
export const MAX_CURVE_POINTS = 4096;
/**
 * How many times as long as a piece of a resumed run's lines takes to be read for the page, nothing
 * is read.
 */
export const PAST_PAUSE_RATIO = 4;
/** Points of the curve in one update of a page. */
export const MAX_UPDATE_POINTS = 64;
export const MAX_SHOWN_EVALUATIONS = 1000;
export const MAX_SHOWN_EVENTS = 200;
export const MAX_SHOWN_CHANGES = 1000;
export const MAX_SHOWN_MISTAKES = 48;
export const MAX_PAGES = 256;
/** What may wait for a page that does not read, before its connection is ended. */
export const MAX_PAGE_QUEUE_BYTES = 1024 ** 2;
/**
 * Between two updates of a page: so long, or so long for each page that is open, up to the second;
 * so long also without one.
 */
export const PAGE_UPDATE_MILLISECONDS = 200;
export const PAGE_COST_MILLISECONDS = 4;
export const MAX_PAGE_UPDATE_MILLISECONDS = 1_000;
/** A page without news hears that much that the connection lives. */
export const PAGE_SIGN_OF_LIFE_MILLISECONDS = 5_000;
/** Of all answers that are on their way. */
export const MAX_PAGE_ANSWER_BYTES = 64 * 1024 ** 2;
/** How old the weights may be that a page gets. */
export const PAGE_WEIGHTS_MILLISECONDS = 1_000;
/** Of one series of a histogram, until they are handed on; 8 bytes each. */
export const MAX_PENDING_OBSERVATIONS = 1024;
/** How often the gradient's norm is computed. */
export const GRADIENT_NORM_MILLISECONDS = 250;
/** How long open pages have at the end of a run to fetch its last weights. */
export const PAGE_FAREWELL_MILLISECONDS = 1_000;
export const MAX_HTTP_LINGER_SECONDS = 3_600;
/** Where the default port of the listener is in use, so many after it are tried. */
export const MAX_PORT_TRIES = 100;

// Pictures and report of a run.
/** Points of a training curve; each is the mean over so many steps that there are no more. */
export const MAX_DRAWN_POINTS = 512;
/** Evaluations in a curve and in summary.json, evenly taken, the last one among them. */
export const MAX_DRAWN_EVALUATIONS = 256;
/** Up to so many classes a confusion matrix has its counts written in. */
export const MAX_NUMBERED_CLASSES = 32;
/** In units of the size of its letters. */
export const MAX_DRAWN_NAME_EMS = 13;
/** Mistakes on the contact sheet. */
export const MAX_SHEET_SAMPLES = 100;
/** Pairs of classes that a report names because they were confused most often. */
export const MAX_REPORTED_CONFUSIONS = 10;

// Times.
export const DEFAULT_CHECKPOINT_SECONDS = 10;
export const HEARTBEAT_INTERVAL_MILLISECONDS = 2_000;
export const IDLE_LIMIT_MILLISECONDS = 20_000;
export const HELLO_LIMIT_MILLISECONDS = 10_000;
export const REQUEST_LIMIT_MILLISECONDS = 10_000;
/** From a connection's beginning to its proof of the token, the TLS handshake included. */
export const NEWCOMER_LIMIT_MILLISECONDS = 5_000;
/** Between two log lines about refused connections of one address. */
export const REFUSAL_INTERVAL_MILLISECONDS = 60_000;
/**
 * How long a connection that ended in its TLS handshake may have been one that only read the
 * certificates.
 */
export const HANDSHAKE_DOUBT_MILLISECONDS = 5_000;
/** How often requests are looked at that take too long. */
export const REQUEST_CHECK_MILLISECONDS = 1_000;
export const DEFAULT_PREPARE_LIMIT_MILLISECONDS = 300_000;
export const MAX_PREPARE_LIMIT_MILLISECONDS = 1_800_000;
/** How long a worker that prepares keeps its place in a full run when another one comes. */
export const PREPARING_PLACE_MILLISECONDS = 30_000;
export const MIN_LEASE_MILLISECONDS = 200;
export const MAX_LEASE_MILLISECONDS = 60_000;
/** Of a part that has missed its deadlines again and again. */
export const MAX_REPEATED_LEASE_MILLISECONDS = 3_600_000;
export const FIRST_LEASE_MILLISECONDS = 30_000;
/**
 * How long a worker that fails again and again gets no work, and how long its speed is remembered.
 */
/** For the first step, while a worker of another fingerprint waits for it. */
export const CLAIM_LIMIT_MILLISECONDS = 60_000;
export const SET_ASIDE_MILLISECONDS = 30_000;
export const PACE_MEMORY_MILLISECONDS = 10_000;
export const DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS = 600;
export const DEFAULT_MAX_WAIT_SECONDS = 300;
export const CLOSE_LIMIT_MILLISECONDS = 2_000;
export const ORPHAN_LIMIT_MILLISECONDS = 2_000;
export const TICK_MILLISECONDS = 50;
/**
 * How often a process looks at its clock at least, and the shortest time between two looks that may
 * be a suspension.
 */
export const CLOCK_LOOK_MILLISECONDS = 500;
export const SUSPENSION_MILLISECONDS = 2_000;
/**
 * How often a process that looks at its clock all the time asks how long the processor has worked
 * for it.
 */
export const PROCESSOR_LOOK_MILLISECONDS = 20;
export const FIRST_REDIAL_MILLISECONDS = 100;
export const MAX_REDIAL_MILLISECONDS = 5_000;
/**
 * Between a crash and the next start of a process of `local`, doubled each time; one that lived so
 * long counts as well again.
 */
export const FIRST_RESTART_MILLISECONDS = 100;
export const MAX_RESTART_MILLISECONDS = 5_000;
export const STABLE_MILLISECONDS = 10_000;
export const DEFAULT_MAX_RESTARTS = 100;
/** Workers that `local` starts on one machine. */
export const DEFAULT_WORKERS = 2;
/** Node loads a program's files side by side: it needs 112 to start. */
export const MIN_OPEN_FILES = 256;
/** Pipes and sockets of one worker, in the process that has most of them. */
export const FILES_OF_A_WORKER = 4;
/**
 * Of WebAssembly, in one worker at a time: its engine's, its kernels', and two of the comparison
 * before it is ready.
 */
export const MEMORIES_OF_A_WORKER = 4;
/** More than the largest graph that a worker writes for TensorFlow. */
export const TEMPORARY_TRIAL_BYTES = 1024 ** 2;
/** Ends by the same error of its own before a process was ready: once more would end alike. */
export const MAX_FAILED_STARTS = 3;
export const METRICS_FLUSH_MILLISECONDS = 1_000;
/** How long lines wait on a full disk until they are tried again. */
export const DISK_RETRY_MILLISECONDS = 3_000;
/**
 * How often a worker asks nvidia-smi, how long it waits for the answer, and for the next try when
 * there was none.
 */
export const GPU_INTERVAL_MILLISECONDS = 5_000;
export const GPU_ANSWER_LIMIT_MILLISECONDS = 10_000;
export const GPU_RETRY_MILLISECONDS = 60_000;
/** What a worker says of its GPUs sooner than this after it said so last is dropped. */
export const MIN_DEVICES_INTERVAL_MILLISECONDS = 1_000;
/**
 * Bench: how long a piece is measured in one repetition, and how many steps' time a run of the full
 * loop has.
 */
export const BENCH_PIECE_MILLISECONDS = 100;
export const BENCH_WIRE_MILLISECONDS = 400;
export const BENCH_RUN_MILLISECONDS = 1_500;
export const BENCH_RUN_LIMIT_MILLISECONDS = 120_000;
/** How long a pipe that an option names may take to its end, and how often it is looked at. */
export const PIPE_LIMIT_MILLISECONDS = 30_000;
export const PIPE_POLL_MILLISECONDS = 10;
export const FIRST_STORE_RETRY_MILLISECONDS = 250;
export const MAX_STORE_RETRY_MILLISECONDS = 5_000;
export const STORE_CONNECT_MILLISECONDS = 10_000;
/** How long a store may take to send or take the next bytes. */
export const STORE_SILENCE_MILLISECONDS = 30_000;
/** How long a run waits for its store before it begins without having seen it. */
export const STORE_LOOK_MILLISECONDS = 10_000;

// Measures.
export const MAX_GPU_WATTS = 100_000;
