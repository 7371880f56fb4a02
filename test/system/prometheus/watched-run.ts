import { onTestFinished } from 'vitest';
import { newRun, QUICK_RECIPE, TOKEN } from '../../fixtures/processes/options.ts';
import { start, until, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { standIns, systemPath } from '../../fixtures/engine/fake-programs.ts';
import { startPrometheus, type Asker } from './prometheus.ts';

/** A run that a Prometheus has watched from its start. */
export interface WatchedRun {
  readonly asker: Asker;
  readonly run: string;
  /** HOST:PORT that Prometheus scrapes. */
  readonly page: string;
  /** The time at which Prometheus was started, in seconds since 1970. */
  readonly since: number;
}

const RUN = 'r';
const names = ['w0', 'w1', 'w2'] as const;
/** A fake nvidia-smi in the real one's format, with values that change. */
const NVIDIA_SMI =
  'S=$(date +%S | sed s/^0//); ' +
  'echo "0, $S, $((4000 + S)), 81559, $((35 + S / 4)), $((100 + S)).25"';

/**
 * Trains with worker processes, and a Prometheus that scrapes every second, until there has been an
 * evaluation, a checkpoint, a late worker, and a worker that was killed and came back. The run
 * continues until the test ends.
 */
export async function watchRun(): Promise<WatchedRun> {
  const coordinator = start(
    [
      'coordinator',
      ...newRun(temporaryFolder()),
      ...QUICK_RECIPE,
      '--epochs',
      '200',
      // Tensors travel through sockets, so that there are bytes to count.
      '--http-port',
      '0',
      '--no-shared-memory',
      '--checkpoint-every',
      '1s',
      '--start-workers',
      '3',
    ],
    { MNIST_DIST_TOKEN: TOKEN },
  );
  const [, page = ''] = await coordinator.says(/watch it at http:\/\/(\S+?)\/?\s/);
  const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
  const since = Date.now() / 1000;
  const prometheus = await startPrometheus([page]);
  onTestFinished(() => prometheus.stop());
  const { asker } = prometheus;
  const bin = standIns({ 'nvidia-smi': NVIDIA_SMI }, systemPath);
  const environment = { MNIST_DIST_TOKEN: TOKEN, PATH: [bin, process.env['PATH']].join(':') };
  const join = (name: string): Started =>
    start(['worker', '--engine', 'reference', '--coordinator', url, '--name', name], environment);
  const [, second, third] = names.map(join);
  const seen = (query: string) => untilSeen(asker, query, coordinator);

  await seen('mnist_dist_epoch > 2');
  await seen('mnist_dist_gpu_power_watts > 0');
  await seen('mnist_dist_checkpoint_last_success_timestamp_seconds > 0');
  third?.process.kill('SIGSTOP');
  await seen('mnist_dist_straggler_steps_total > 0');
  third?.process.kill('SIGCONT');
  second?.process.kill('SIGKILL');
  await seen('mnist_dist_worker_up{worker="w1"} == 0');
  await seen('sum(mnist_dist_worker_losses_total) > 0');
  join('w1');
  await seen('mnist_dist_worker_up{worker="w1"} == 1');
  await seen('rate(mnist_dist_train_samples_total{worker="w1"}[4s]) > 0');
  return { asker, run: RUN, page, since };
}

/** Waits until Prometheus has data for the query. */
async function untilSeen(asker: Asker, query: string, coordinator: Started): Promise<void> {
  let isSeen = false;
  let failure: unknown;
  const ask = async (): Promise<void> => {
    while (!isSeen) {
      isSeen = (await asker.at(query)).length > 0;
      if (!isSeen) await sleep(200);
    }
  };
  ask().catch((error: unknown) => {
    failure = error;
  });
  await until(() => {
    if (failure !== undefined) throw failure;
    return isSeen ? true : undefined;
  }, coordinator);
}
