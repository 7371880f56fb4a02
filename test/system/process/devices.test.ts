import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { startTarget } from '../../hostile/target.ts';
import { standIns, systemPath } from '../../fixtures/engine/fake-programs.ts';
import { gpuLine, gpuLineReading, MEBIBYTE } from '../../fixtures/engine/gpu-answer.ts';
import { childrenOf, gone } from '../../fixtures/processes/children.ts';
import { TOKEN } from '../../fixtures/processes/options.ts';
import { start, until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

it("a worker reports its GPUs' telemetry to the coordinator until the run ends", async () => {
  const target = await startTarget();
  const folder = temporaryFolder();
  const telemetry =
    '--query-gpu=index,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw ' +
    '--format=csv,noheader,nounits';
  const bin = standIns(
    {
      'nvidia-smi': `D='${folder}'
        case "$*" in --query-gpu=index,name,*)
          echo '0, H100, GPU-a, 570, Disabled'
          echo '1, H100, GPU-b, 570, Disabled'
          echo '2, H100, GPU-c, 570, Disabled'
          exit;;
        esac
        [ "$*" = '${telemetry}' ] || exit 2
        if [ -e "$D/hang" ]; then exec sleep 1000; fi
        echo '${gpuLine}'
        echo '1, [N/A], 4, 81559, [Not Supported], [N/A]'
        echo '2, 99, 4, 81559, 90, 700'`,
    },
    systemPath,
  );
  const worker = start(
    [
      'worker',
      '--engine',
      'reference',
      '--name',
      'w',
      '--coordinator',
      `ws://127.0.0.1:${target.port}`,
    ],
    {
      MNIST_DIST_TOKEN: TOKEN,
      MNIST_DIST_CACHE: temporaryFolder(),
      CUDA_VISIBLE_DEVICES: '0,1',
      PATH: [bin, process.env['PATH']].join(':'),
    },
  );
  const heard = (times: number) =>
    until(() => (target.devices.length >= times ? target.devices[times - 1] : undefined), worker);
  const said = {
    worker: 'w',
    gpus: [
      gpuLineReading,
      { index: 1, memoryUsedBytes: 4 * MEBIBYTE, memorySizeBytes: 81_559 * MEBIBYTE },
    ],
  };
  expect(await heard(1)).toEqual(said);
  expect(await heard(2)).toEqual(said);
  // The next nvidia-smi hangs, and the run ends in the meantime.
  writeFileSync(join(folder, 'hang'), '');
  const hanging = await until(
    () => childrenOf(worker.process.pid).find((each) => each.arguments.startsWith('sleep\0')),
    worker,
  );
  await target.finish();
  expect(await worker.exited, worker.output()).toBe(errorTable.INTERRUPTED.exit);
  await gone([hanging]);
});
