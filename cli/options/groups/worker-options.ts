import * as limits from '../../../shared/limits.ts';
import { trainingCommands, withDefault, withoutDefault } from '../option.ts';
import { engineSynonyms } from '../synonyms.ts';
import {
  choice,
  decimal,
  device,
  duration,
  either,
  flag,
  integer,
  name,
  spin,
  WEEK_SECONDS,
} from '../value-types.ts';

const workerCount = integer({ min: 1, max: limits.MAX_WORKERS });
const engineCommands = ['local', 'sweep', 'worker', 'verify', 'eval'] as const;

export const workerOptions = {
  nprocPerNode: withDefault(
    either(
      'N|auto|gpu',
      workerCount,
      choice(['auto', 'gpu'], { gpus: 'gpu', cuda: 'gpu', cpu: 'auto', cpus: 'auto', all: 'auto' }),
    ),
    limits.DEFAULT_WORKERS,
    {
      in: ['local', 'sweep', 'verify', 'eval'],
      short: 'n',
      help:
        'worker processes; gpu: one per GPU visible to this process; ' +
        'auto: one per GPU or, without a GPU, one per core',
    },
  ),
  minWorkers: withDefault(workerCount, 1, {
    in: trainingCommands,
    help: 'minimum number of workers to start and to continue',
  }),
  maxRestarts: withDefault(integer({ min: 0, max: 1_000_000 }), limits.DEFAULT_MAX_RESTARTS, {
    in: ['local', 'sweep'],
    help: 'maximum number of restarts for each process that crashes',
  }),
  startWorkers: withoutDefault(workerCount, {
    in: ['coordinator'],
    help: 'number of workers to wait for before step 1 (default: --min-workers)',
  }),
  maxWorkers: withDefault(workerCount, limits.MAX_WORKERS, {
    in: trainingCommands,
    help: 'maximum number of workers; the coordinator rejects any more',
  }),
  rdzvTimeout: withDefault(
    duration({ min: 1, max: WEEK_SECONDS }),
    limits.DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS,
    {
      in: trainingCommands,
      help: 'how long to wait for workers, at the start and when too few remain',
    },
  ),
  sharedMemory: withDefault(flag, true, {
    in: trainingCommands,
    help: 'exchange tensors with workers on this host through shared memory instead of the socket',
  }),
  spin: withDefault(spin, 'auto', {
    in: ['local', 'coordinator', 'worker'],
    help:
      'how long a process looks for the next message in shared memory before it sleeps; auto: ' +
      `${limits.SPIN_MICROSECONDS} microseconds if every process of the run on this host can ` +
      'have a core',
  }),
  allowMixedEngines: withDefault(flag, false, {
    in: trainingCommands,
    help: 'accept workers whose engine computes different bytes; the run is then not reproducible',
  }),
  audit: withDefault(
    decimal('a number from 0 to 1', (x) => x >= 0 && x <= 1),
    0,
    {
      in: trainingCommands,
      help:
        'fraction of the subtrees that a second worker computes as well; ' +
        'a result counts only if both agree',
    },
  ),
  name: withoutDefault(name('a name'), {
    in: ['worker'],
    help: 'name of this worker in logs (default: host name and process id)',
  }),
  engine: withDefault(choice(['auto', 'tensorflow', 'wasm', 'reference'], engineSynonyms), 'auto', {
    in: ['local', 'sweep', 'worker', 'verify', 'eval', 'bench'],
    help:
      'engine that computes gradients; auto: tensorflow if it can run, otherwise wasm ' +
      "(verify: the run's engine)",
  }),
  device: withDefault(device, 'auto', {
    in: engineCommands,
    help:
      'device for the engine; cuda:0 is the first GPU visible to this process ' +
      "(verify: the run's device)",
  }),
  threads: withDefault(integer({ min: 1, max: 1024 }), 1, {
    in: engineCommands,
    help:
      'engine threads per worker; a different number may produce different bytes ' +
      "(verify: the run's thread count)",
  }),
};
