import { connect } from 'node:net';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import {
  serve,
  readOnlyPolicy,
  type RunRecorder,
  type RunContext,
} from '../../../coordinator/serve.ts';
import { ClusterError } from '../../../shared/errors.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { configuration, dataset } from '../../fixtures/recorded-run.ts';
import { idleObserver } from './idle-observer.ts';

const superseded = new ClusterError('LOCKED', 'it was taken over');

it('a run that is taken over while opening is abandoned, and its port is closed', async () => {
  let abandoned = 0;
  const port = await freePort();
  const open = ({ fail }: RunContext): Promise<RunRecorder> =>
    Promise.resolve({
      ...idleObserver,
      run: 'r',
      term: 1,
      resumed: undefined,
      opened: async () => {
        fail(superseded);
        // An unhandled rejection would end the process.
        await new Promise((resolve) => setImmediate(resolve));
        throw superseded;
      },
      finish: () => Promise.reject(new Error('it has not begun')),
      abandon: () => Promise.resolve(void (abandoned += 1)),
    });
  const settings = {
    ...readOnlyPolicy,
    configuration,
    dataset,
    token: 'a-token-of-the-tests-0123456789',
    version: '0',
    host: '127.0.0.1',
    port,
    startWorkers: 1,
    rendezvousMilliseconds: 60_000,
  };
  await expect(serve(settings, open, () => undefined)).rejects.toBe(superseded);
  expect(abandoned).toBe(1);
  const [error] = await once(connect(port, '127.0.0.1'), 'error');
  expect(error).toMatchObject({ code: 'ECONNREFUSED' });
});
