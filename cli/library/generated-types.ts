// Generated: npm run test:unit -- test/documents.test.ts -u

/** The codes of errors; docs/reference/exit-codes.md says what each one means. */
export type ErrorCode =
  | 'UNEXPECTED'
  | 'USAGE'
  | 'NOT_READY'
  | 'SETUP'
  | 'ENGINE'
  | 'DATA'
  | 'RUN_EXISTS'
  | 'LOCKED'
  | 'REPLAY'
  | 'DISAGREEMENT'
  | 'DIFFERS'
  | 'IMAGE'
  | 'NOT_REPLAYABLE'
  | 'BELOW'
  | 'ADDRESS'
  | 'RENDEZVOUS'
  | 'UNREACHABLE'
  | 'AMBIGUOUS'
  | 'UNAUTHORIZED'
  | 'TLS'
  | 'VERSION'
  | 'FINGERPRINT'
  | 'FULL'
  | 'PROTOCOL'
  | 'TIMEOUT'
  | 'LIMIT'
  | 'DIVERGED'
  | 'RUN_FAILED'
  | 'STORE'
  | 'DISK'
  | 'SUPERSEDED'
  | 'STOPPED'
  | 'HUNG_UP'
  | 'INTERRUPTED'
  | 'TERMINATED';

/** The options of `mnist-dist local`. */
export interface TrainSettings {
  /**
   * YAML file with options, one "name: value" per line; one file can serve all commands. Allowed: a
   * readable YAML file
   */
  readonly config?: string | undefined;
  /**
   * settings that take the place of the defaults; `mnist-dist recipe` prints them (default:
   * quickstart). Allowed: quickstart, best
   */
  readonly recipe?: 'quickstart' | 'best' | undefined;
  /** folder for run directories; created if missing (default: runs). Allowed: a folder */
  readonly runsDir?: string | undefined;
  /**
   * name of the run directory (default: date, time and four random hexadecimal digits; sweep: name
   * of the sweep's folder; default: the name of its file). Allowed: a folder name: 1 to 64 letters,
   * digits, ".", "_" and "-", beginning with a letter or a digit
   */
  readonly runId?: string | undefined;
  /**
   * resume a run (without RUN: the newest unfinished one); --epochs and --steps may be raised, but
   * other options that affect the result must not change. Allowed: a run directory, or no value for
   * the newest unfinished run
   */
  readonly resume?: string | boolean | undefined;
  /**
   * checkpoint interval, in steps or time (default: 10s). Allowed: a whole number of steps from 1,
   * such as 500, or a duration of at least 0.1 s, such as 10s or 5m
   */
  readonly checkpointEvery?: number | string | undefined;
  /** number of checkpoints to keep (default: 2). Allowed: a whole number from 1 to 10000 */
  readonly keep?: number | undefined;
  /**
   * resume a run even if a coordinator on another host holds its lock (default: false). Allowed:
   * true or false (or yes, no, on, off, 1, 0)
   */
  readonly takeOver?: boolean | undefined;
  /**
   * a different dataset, as idx files, mnist.npz, CSV or folders of pictures (default: the run's
   * dataset; for a new run, the MNIST package). Allowed: a folder with a dataset, or an .npz or
   * .csv file
   */
  readonly data?: string | undefined;
  /**
   * make every picture of --data this size, in pixels. Allowed: rows and columns, such as 28 or
   * 28x20, with at most 65536 pixels
   */
  readonly imageSize?: number | string | undefined;
  /**
   * fraction at the end of the training set that is the test set, if --data has none. Allowed: a
   * number above 0, below 1
   */
  readonly testSplit?: number | undefined;
  /**
   * layers to train: mlp, convnet or a YAML file (default: mlp); predict: model to predict with
   * (default: the newest finished run in --runs-dir). Allowed: mlp, convnet or a YAML file with a
   * list of layers; predict: a run directory, a model.safetensors file, or the URI of a run in a
   * store
   */
  readonly model?: string | undefined;
  /**
   * begin with the weights of this model (default: with weights that --seed draws). Allowed: a
   * model.safetensors file, a run directory, or the URI of a run in a store
   */
  readonly init?: string | undefined;
  /**
   * seed for the sample order, the dropout and the initial weights (default: 1). Allowed: a whole
   * number from 0 to 9007199254740991
   */
  readonly seed?: number | undefined;
  /** passes over the training set (default: 5). Allowed: a whole number from 1 to 1000000 */
  readonly epochs?: number | undefined;
  /**
   * total number of steps; overrides --epochs (bench: steps of each measured run). Allowed: a whole
   * number from 1 to 2147483648
   */
  readonly steps?: number | undefined;
  /** samples per step, across all workers (default: 32). Allowed: a whole number from 1 to 65536 */
  readonly batchSize?: number | undefined;
  /**
   * shards per batch; at most this many workers compute at a time (default: up to 8, with at least
   * 8 samples each). Allowed: a power of two from 1 to 256, at most --batch-size
   */
  readonly virtualShards?: number | undefined;
  /** how a step changes the weights (default: adam). Allowed: adam, adamw, sgd */
  readonly optimizer?: 'adam' | 'adamw' | 'sgd' | undefined;
  /**
   * learning rate, before --lr-schedule changes it (default: 0.001, with --optimizer sgd 0.01).
   * Allowed: a number above 0, at most 1000
   */
  readonly learningRate?: number | undefined;
  /**
   * decay rate of Adam's first moment (default: 0.9). Allowed: a number of at least 0 and below 1
   */
  readonly beta1?: number | undefined;
  /**
   * decay rate of Adam's second moment (default: 0.999). Allowed: a number of at least 0 and below
   * 1
   */
  readonly beta2?: number | undefined;
  /**
   * Adam's epsilon (default: 1e-7). Allowed: a number of at least 2^-126, which is about 1.2e-38,
   * and at most 1
   */
  readonly epsilon?: number | undefined;
  /** momentum of --optimizer sgd (default: 0). Allowed: a number of at least 0 and below 1 */
  readonly momentum?: number | undefined;
  /**
   * use Nesterov's momentum (needs --momentum) (default: false). Allowed: true or false (or yes,
   * no, on, off, 1, 0)
   */
  readonly nesterov?: boolean | undefined;
  /**
   * decoupled weight decay of adamw or sgd, for kernels; times the step's learning rate (default:
   * 0.004, with --optimizer adam or sgd 0). Allowed: a number from 0 to 100
   */
  readonly weightDecay?: number | undefined;
  /**
   * scales a larger gradient down to this norm (default: does not). Allowed: a number above 0, at
   * most 1e6
   */
  readonly clipNorm?: number | undefined;
  /**
   * moves each training image at random: pixels, degrees, fraction of its size (default: off).
   * Allowed: shift from 0 to 8 pixels, rotate from 0 to 180 degrees and zoom from 0 to 0.5, or some
   * of them, such as shift=2,rotate=10,zoom=0.1; or off
   */
  readonly augment?: string | undefined;
  /**
   * part of the target that the training loss shares out among all classes (default: 0). Allowed: a
   * number of at least 0 and below 1
   */
  readonly labelSmoothing?: number | undefined;
  /**
   * how the learning rate changes after the warmup (default: constant). Allowed: constant, step,
   * exponential, cosine, piecewise
   */
  readonly lrSchedule?: 'constant' | 'step' | 'exponential' | 'cosine' | 'piecewise' | undefined;
  /**
   * the learning rate rises linearly during these first steps or epochs (default: 0). Allowed: a
   * whole number of steps from 0, such as 500, or of epochs, such as 2epochs
   */
  readonly warmup?: number | string | undefined;
  /**
   * step and exponential: factor of the learning rate (default: 0.7). Allowed: a number above 0, at
   * most 1
   */
  readonly lrDecay?: number | undefined;
  /**
   * step and exponential: steps or epochs per --lr-decay (default: 1epoch). Allowed: a whole number
   * of steps from 1, such as 500, or of epochs, such as 2epochs
   */
  readonly lrDecayEvery?: number | string | undefined;
  /**
   * cosine: steps or epochs until the rate is final, even if the run becomes longer (default: the
   * run's length when it is created). Allowed: a whole number of steps from 1, such as 500, or of
   * epochs, such as 2epochs
   */
  readonly lrHorizon?: number | string | undefined;
  /**
   * cosine: final rate, as a fraction of --learning-rate (default: 0). Allowed: a number from 0 to
   * 1
   */
  readonly lrFinal?: number | undefined;
  /**
   * piecewise: after how many steps or epochs the rate changes. Allowed: 1 to 64 increasing numbers
   * of steps or epochs, such as 500 or 2epochs, separated by commas
   */
  readonly lrBoundaries?: number | string | readonly (number | string)[] | undefined;
  /**
   * piecewise: the learning rate after each of --lr-boundaries. Allowed: 1 to 64 numbers above 0,
   * at most 1000, separated by commas
   */
  readonly lrRates?: number | readonly number[] | undefined;
  /**
   * fraction at the end of the training files that is held out and evaluated after each epoch
   * (default: none; the test set is evaluated). Allowed: a number above 0, below 1
   */
  readonly validationSplit?: number | undefined;
  /**
   * end the run after this many evaluations without a lower loss (default: does not). Allowed: a
   * whole number from 0 to 1000000
   */
  readonly earlyStopping?: number | undefined;
  /**
   * the model is that of the epoch with the lowest loss (needs --validation-split) (default:
   * false). Allowed: true or false (or yes, no, on, off, 1, 0)
   */
  readonly keepBest?: boolean | undefined;
  /**
   * --early-stopping, --keep-best: how much lower a loss must be (default: 0). Allowed: a number of
   * at least 0
   */
  readonly minDelta?: number | undefined;
  /**
   * units in each hidden layer of --model mlp, such as 128 or 256,128 (default: 128). Allowed: 1 to
   * 16 whole numbers from 1 to 65536, separated by commas
   */
  readonly hidden?: number | readonly number[] | undefined;
  /**
   * fraction of the hidden units of --model mlp that a training step drops (default: 0.2). Allowed:
   * a number of at least 0 and below 1
   */
  readonly dropout?: number | undefined;
  /**
   * address to listen on; one that other machines can reach needs TLS or --insecure (eval: wait for
   * workers to join instead of starting them) (default: 127.0.0.1). Allowed: a host name or an IP
   * address without a scheme or port, such as 127.0.0.1, 0.0.0.0 or ::1
   */
  readonly host?: string | undefined;
  /**
   * port to listen on; 0 picks a free port (eval: wait for workers to join instead of starting
   * them) (default: 29400). Allowed: a whole number from 0 to 65535
   */
  readonly port?: number | undefined;
  /**
   * certificate for TLS with workers; `mnist-dist certs` creates one. Allowed: a PEM file with a
   * certificate and its chain
   */
  readonly sslCertfile?: string | undefined;
  /** private key for --ssl-certfile. Allowed: a PEM file with the private key for --ssl-certfile */
  readonly sslKeyfile?: string | undefined;
  /**
   * file with the shared token (or set the token itself in MNIST_DIST_TOKEN). Allowed: a readable
   * file of at most 4096 bytes
   */
  readonly tokenFile?: string | undefined;
  /**
   * allow connections between machines without TLS; others on the network can then read the weights
   * and the dataset (default: false). Allowed: true or false (or yes, no, on, off, 1, 0)
   */
  readonly insecure?: boolean | undefined;
  /**
   * refuse a run that needs more memory per worker, not counting the dataset (default: 2147483648).
   * Allowed: a size from 1 to 1099511627776 bytes, such as 67108864, 64MiB or 64MB (kB, MB, GB,
   * KiB, MiB, GiB)
   */
  readonly maxMemoryBytes?: number | string | undefined;
  /**
   * serve the live page and /metrics; --no-http switches it off (default: true). Allowed: true or
   * false (or yes, no, on, off, 1, 0)
   */
  readonly http?: boolean | undefined;
  /**
   * address of the live page; one that other machines can reach needs TLS and a token, or
   * --insecure (default: 127.0.0.1). Allowed: a host name or an IP address without a scheme or
   * port, such as 127.0.0.1, 0.0.0.0 or ::1
   */
  readonly httpHost?: string | undefined;
  /**
   * port of the live page; 0 picks a free port; if the default is in use, the next free port is
   * used (default: 9464). Allowed: a whole number from 0 to 65535
   */
  readonly httpPort?: number | undefined;
  /**
   * certificate for HTTPS on the live page and /metrics. Allowed: a PEM file with a certificate and
   * its chain
   */
  readonly httpSslCertfile?: string | undefined;
  /**
   * private key for --http-ssl-certfile. Allowed: a PEM file with the private key for
   * --http-ssl-certfile
   */
  readonly httpSslKeyfile?: string | undefined;
  /**
   * file with a token for the live page and /metrics, used as a bearer token, or as the password in
   * a browser. Allowed: a readable file of at most 4096 bytes
   */
  readonly httpTokenFile?: string | undefined;
  /**
   * how long to wait after the run for one more scrape of /metrics, so that Prometheus gets the
   * last values (default: 0). Allowed: a duration from 0 to 3600 seconds, such as 300, 300s or 5m
   * (ms, s, m, h, d)
   */
  readonly httpLinger?: number | string | undefined;
  /**
   * write event files for TensorBoard to DIR/RUN-ID (without DIR: to the folder tensorboard in the
   * run directory). Allowed: a folder, or no value for the folder tensorboard in the run directory
   */
  readonly tensorboard?: string | boolean | undefined;
  /**
   * write when the coordinator and each worker did what in some steps, for Perfetto. Allowed: the
   * path of a file
   */
  readonly trace?: string | undefined;
  /**
   * the first and the last step of --trace (default: 101..200). Allowed: two whole numbers from 1
   * to 2147483648 in order, such as 101..200
   */
  readonly traceSteps?: string | undefined;
  /**
   * log the run to this MLflow server (without URI: to MLFLOW_TRACKING_URI); MLFLOW_EXPERIMENT_NAME
   * and the variables for its credentials apply. Allowed: the http:// or https:// address of an
   * MLflow server, without a user or a password (MLFLOW_TRACKING_USERNAME,
   * MLFLOW_TRACKING_PASSWORD), or no value for MLFLOW_TRACKING_URI
   */
  readonly mlflow?: string | boolean | undefined;
  /**
   * worker processes; gpu: one per GPU visible to this process; auto: one per GPU or, without a
   * GPU, one per core (default: 2). Allowed: a whole number from 1 to 256, or auto, gpu
   */
  readonly nprocPerNode?: number | string | undefined;
  /**
   * minimum number of workers to start and to continue (default: 1). Allowed: a whole number from 1
   * to 256
   */
  readonly minWorkers?: number | undefined;
  /**
   * maximum number of restarts for each process that crashes (default: 100). Allowed: a whole
   * number from 0 to 1000000
   */
  readonly maxRestarts?: number | undefined;
  /**
   * maximum number of workers; the coordinator rejects any more (default: 256). Allowed: a whole
   * number from 1 to 256
   */
  readonly maxWorkers?: number | undefined;
  /**
   * how long to wait for workers, at the start and when too few remain (default: 600). Allowed: a
   * duration from 1 to 604800 seconds, such as 300, 300s or 5m (ms, s, m, h, d)
   */
  readonly rdzvTimeout?: number | string | undefined;
  /**
   * exchange tensors with workers on this host through shared memory instead of the socket
   * (default: true). Allowed: true or false (or yes, no, on, off, 1, 0)
   */
  readonly sharedMemory?: boolean | undefined;
  /**
   * how long a process looks for the next message in shared memory before it sleeps; auto: 600
   * microseconds if every process of the run on this host can have a core (default: auto). Allowed:
   * auto, off, or a whole number from 0 to 2000
   */
  readonly spin?: number | string | undefined;
  /**
   * accept workers whose engine computes different bytes; the run is then not reproducible
   * (default: false). Allowed: true or false (or yes, no, on, off, 1, 0)
   */
  readonly allowMixedEngines?: boolean | undefined;
  /**
   * fraction of the subtrees that a second worker computes as well; a result counts only if both
   * agree (default: 0). Allowed: a number from 0 to 1
   */
  readonly audit?: number | undefined;
  /**
   * engine that computes gradients; auto: tensorflow if it can run, otherwise wasm (verify: the
   * run's engine) (default: auto). Allowed: auto, tensorflow, wasm, reference
   */
  readonly engine?: 'auto' | 'tensorflow' | 'wasm' | 'reference' | undefined;
  /**
   * device for the engine; cuda:0 is the first GPU visible to this process (verify: the run's
   * device) (default: auto). Allowed: auto, cpu or cuda:N, with N from 0 to 999
   */
  readonly device?: string | undefined;
  /**
   * engine threads per worker; a different number may produce different bytes (verify: the run's
   * thread count) (default: 1). Allowed: a whole number from 1 to 1024
   */
  readonly threads?: number | undefined;
  /**
   * store to upload the finished run to; `mnist-dist push` completes an interrupted upload.
   * Allowed: file:DIR or s3://BUCKET/PREFIX
   */
  readonly artifacts?: string | undefined;
  /**
   * draw the report and its pictures at the end; --no-pictures switches this off (show, board:
   * pictures of the mistakes) (default: true). Allowed: true or false (or yes, no, on, off, 1, 0)
   */
  readonly pictures?: boolean | undefined;
}

/** The options of `mnist-dist eval`. */
export interface EvaluateSettings {
  /**
   * YAML file with options, one "name: value" per line; one file can serve all commands. Allowed: a
   * readable YAML file
   */
  readonly config?: string | undefined;
  /** folder for run directories; created if missing (default: runs). Allowed: a folder */
  readonly runsDir?: string | undefined;
  /**
   * a different dataset, as idx files, mnist.npz, CSV or folders of pictures (default: the run's
   * dataset; for a new run, the MNIST package). Allowed: a folder with a dataset, or an .npz or
   * .csv file
   */
  readonly data?: string | undefined;
  /**
   * make every picture of --data this size, in pixels. Allowed: rows and columns, such as 28 or
   * 28x20, with at most 65536 pixels
   */
  readonly imageSize?: number | string | undefined;
  /**
   * fraction at the end of the training set that is the test set, if --data has none. Allowed: a
   * number above 0, below 1
   */
  readonly testSplit?: number | undefined;
  /** part of the dataset to evaluate (default: test). Allowed: test, train */
  readonly split?: 'test' | 'train' | undefined;
  /**
   * refuse a run that needs more memory per worker, not counting the dataset (default: 2147483648).
   * Allowed: a size from 1 to 1099511627776 bytes, such as 67108864, 64MiB or 64MB (kB, MB, GB,
   * KiB, MiB, GiB)
   */
  readonly maxMemoryBytes?: number | string | undefined;
  /**
   * worker processes; gpu: one per GPU visible to this process; auto: one per GPU or, without a
   * GPU, one per core (default: 2). Allowed: a whole number from 1 to 256, or auto, gpu
   */
  readonly nprocPerNode?: number | string | undefined;
  /**
   * engine that computes gradients; auto: tensorflow if it can run, otherwise wasm (verify: the
   * run's engine) (default: auto). Allowed: auto, tensorflow, wasm, reference
   */
  readonly engine?: 'auto' | 'tensorflow' | 'wasm' | 'reference' | undefined;
  /**
   * device for the engine; cuda:0 is the first GPU visible to this process (verify: the run's
   * device) (default: auto). Allowed: auto, cpu or cuda:N, with N from 0 to 999
   */
  readonly device?: string | undefined;
  /**
   * engine threads per worker; a different number may produce different bytes (verify: the run's
   * thread count) (default: 1). Allowed: a whole number from 1 to 1024
   */
  readonly threads?: number | undefined;
  /**
   * output folder; created if missing (default: mnist-dist-dashboards or certs; eval: a new folder
   * in the run directory; export: the folder export in it; data: none, and no contact-sheet.png).
   * Allowed: a folder
   */
  readonly out?: string | undefined;
  /**
   * draw the report and its pictures at the end; --no-pictures switches this off (show, board:
   * pictures of the mistakes) (default: true). Allowed: true or false (or yes, no, on, off, 1, 0)
   */
  readonly pictures?: boolean | undefined;
}
