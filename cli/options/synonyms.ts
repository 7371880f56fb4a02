/**
 * Words that PyTorch, Keras, torchrun and other programs use, each with our word for the same
 * thing.
 */
export type Synonyms = Readonly<Record<string, string>>;

/**
 * Inverts a table that maps each of our words to the other programs' words, separated by spaces.
 */
export function inverted(table: Readonly<Record<string, string>>): Synonyms {
  return Object.fromEntries(
    Object.entries(table).flatMap(([ours, theirs]) =>
      theirs.split(' ').map((word) => [word, ours]),
    ),
  );
}

/** Other programs' flags, without their dashes, each with the flag to use here. */
export const optionSynonyms: Synonyms = inverted({
  '--learning-rate': 'lr step-size adam-lr base-lr',
  '--batch-size': 'bs batch train-batch-size global-batch-size per-device-train-batch-size b',
  '--epochs': 'epoch num-epochs n-epochs max-epochs nb-epoch num-train-epochs e',
  '--steps': 'max-steps num-steps n-steps iterations iters num-iterations max-iters',
  '--nproc-per-node':
    'nproc num-workers workers n-workers nworkers processes num-processes world-size np j jobs',
  '--min-workers': 'nnodes min-nodes',
  '--coordinator': 'master-addr master server server-address address url',
  '--port': 'master-port server-port',
  '--token-file': 'token auth-token secret password api-key',
  '--device cuda:0': 'gpu gpus cuda use-cuda use-gpu gpu-id gpu-ids',
  '--device cpu': 'cpu no-cuda no-gpu cpu-only',
  '--engine': 'backend framework',
  '--hidden': 'layers hidden-size hidden-sizes hidden-units hidden-layers units width',
  '--dropout': 'drop drop-rate dropout-rate dropout-p p-dropout',
  '--seed': 'random-seed manual-seed rng-seed random-state',
  '--epsilon': 'eps adam-eps adam-epsilon',
  '--beta1': 'adam-beta1 beta-1',
  '--beta2': 'adam-beta2 beta-2',
  '--optimizer': 'optim opt solver algorithm',
  '--momentum': 'sgd-momentum mu',
  '--weight-decay': 'wd decay l2 weight-decay-rate',
  '--augment':
    'augmentation data-augmentation aug random-affine random-rotation random-translation ' +
    'random-zoom rotation-range width-shift-range height-shift-range zoom-range',
  '--clip-norm':
    'clip grad-clip clip-grad clip-grad-norm max-grad-norm gradient-clip-val global-clipnorm',
  '--label-smoothing': 'smoothing label-smooth label-smoothing-factor smooth',
  '--lr-schedule': 'lr-scheduler scheduler lr-scheduler-type schedule sched lr-policy',
  '--warmup': 'warmup-steps warmup-epochs num-warmup-steps lr-warmup lr-warmup-epochs',
  '--lr-decay': 'gamma lr-gamma decay-rate lr-decay-rate',
  '--lr-decay-every': 'lr-step-size decay-steps decay-epochs lr-decay-steps',
  '--lr-horizon': 't-max lr-decay-iters decay-horizon',
  '--lr-boundaries': 'milestones lr-milestones boundaries',
  '--recipe': 'preset profile config-name',
  '--data': 'dataset data-dir data-path dataset-path dataset-dir data-root train-data root',
  '--image-size': 'img-size imgsz image-dim resize target-size input-size',
  '--test-split': 'test-size test-ratio test-fraction',
  '--runs-dir': 'output-dir log-dir logdir save-dir work-dir output output-path',
  '--run-id': 'id run-name experiment experiment-name job-id rdzv-id exp-name',
  '--resume': 'checkpoint restore resume-from resume-from-checkpoint load ckpt continue ckpt-path',
  '--checkpoint-every':
    'save-every save-steps checkpoint-interval save-interval save-freq checkpoint-freq',
  '--keep': 'save-total-limit max-to-keep keep-checkpoints',
  '--rdzv-timeout': 'start-timeout timeout',
  '--threads': 'num-threads intra-op-threads omp-num-threads',
  '--http-port': 'dashboard-port web-port page-port metrics-port',
  '--model': 'weights model-path checkpoint-path arch architecture network net model-name',
  '--out': 'out-dir report-dir',
  '--format': 'output-format',
  '--to': 'target target-format export-format',
  '--log-level debug': 'verbose v debug',
  '--log-level warn': 'quiet q silent',
  '--no-progress': 'no-bar disable-tqdm disable-progress-bar no-progress-bar',
  '--no-http': 'no-dashboard no-web no-page no-ui',
  '--fail-under': 'min-accuracy threshold',
});

/** `--batch_size`, `--batchSize` and `--batch-size` all become `batch-size`. */
export function normalized(word: string): string {
  return word
    .replace(/^-+/, '')
    .replace(/(?<=[a-z0-9])[A-Z]/g, '-$&')
    .replaceAll('_', '-')
    .toLowerCase();
}

export const engineSynonyms = {
  tf: 'tensorflow',
  tfjs: 'tensorflow',
  native: 'tensorflow',
  webassembly: 'wasm',
} as const;

export const optimizerSynonyms = {
  'adam-w': 'adamw',
  momentum: 'sgd',
  nesterov: 'sgd',
  'gradient-descent': 'sgd',
} as const;

export const scheduleSynonyms = {
  none: 'constant',
  fixed: 'constant',
  staircase: 'step',
  steplr: 'step',
  exp: 'exponential',
  'cosine-annealing': 'cosine',
  'cosine-decay': 'cosine',
  multistep: 'piecewise',
  'piecewise-constant': 'piecewise',
} as const;

export const recipeSynonyms = {
  default: 'quickstart',
  defaults: 'quickstart',
  accurate: 'best',
} as const;

export const logLevelSynonyms = {
  trace: 'debug',
  verbose: 'debug',
  warning: 'warn',
  quiet: 'warn',
  fatal: 'error',
  critical: 'error',
} as const;

export function synonymOf(word: string, synonyms: Synonyms): string | undefined {
  const key = normalized(word);
  return Object.hasOwn(synonyms, key) ? synonyms[key] : undefined;
}
