import { spawnSync } from 'node:child_process';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { StopRequests } from '../../../../cli/processes/supervised.ts';
import { SAME_INTERRUPT_MILLISECONDS } from '../../../../shared/limits.ts';

const VARIABLE = 'MNIST_DIST_INTERNAL_SUPERVISOR';

function recordedRequests() {
  const told: string[] = [];
  const requests = new StopRequests(
    (code) => told.push(`stop ${code}`),
    (code) => told.push(`end ${code}`),
  );
  return { told, requests };
}

describe('StopRequests', () => {
  it('counts two SIGINTs in quick succession as one', () => {
    const { told, requests } = recordedRequests();
    for (const now of [1000, 1000, 1000 + SAME_INTERRUPT_MILLISECONDS - 1])
      requests.signal('INTERRUPTED', now);
    expect(told).toEqual(['stop INTERRUPTED']);
  });

  it('ends the process on a later SIGINT', () => {
    const { told, requests } = recordedRequests();
    requests.signal('INTERRUPTED', 1000);
    requests.signal('INTERRUPTED', 1000 + SAME_INTERRUPT_MILLISECONDS);
    expect(told).toEqual(['stop INTERRUPTED', 'end INTERRUPTED']);
  });

  it('ends the process on a second message from the supervisor', () => {
    const { told, requests } = recordedRequests();
    requests.message('RUN_FAILED');
    requests.message('RUN_FAILED');
    expect(told).toEqual(['stop RUN_FAILED', 'end RUN_FAILED']);
  });

  it('stops once when SIGTERM and SIGHUP are repeated', () => {
    const { told, requests } = recordedRequests();
    for (const now of [1000, 9000]) {
      requests.signal('TERMINATED', now);
      requests.signal('HUNG_UP', now);
    }
    expect(told).toEqual(['stop TERMINATED']);
  });
});

describe('isSupervised', () => {
  const load = async () => await import('../../../../cli/processes/signals.ts');

  beforeEach(() => {
    vi.resetModules();
    vi.unstubAllEnvs();
  });

  it('is false for a channel that another program opened', async () => {
    expect(process.send).toBeDefined();
    expect((await load()).isSupervised()).toBe(false);
  });

  it('is true for a process whose supervisor is its parent, or has died', async () => {
    const { pid } = spawnSync('true');
    for (const supervisor of [process.ppid, pid]) {
      vi.resetModules();
      vi.stubEnv(VARIABLE, String(supervisor));
      expect((await load()).isSupervised()).toBe(true);
      expect(process.env[VARIABLE]).toBeUndefined();
    }
  });

  it('is false for a process that inherited the variable from another one', async () => {
    vi.stubEnv(VARIABLE, String(process.pid));
    expect((await load()).isSupervised()).toBe(false);
    const { supervisedEnvironment } = await load();
    expect(supervisedEnvironment({})).toEqual({ [VARIABLE]: String(process.pid) });
  });

  it('and isRestarted are true for a process that its supervisor started again', async () => {
    const { restartedEnvironment } = await load();
    for (const [variable, value = ''] of Object.entries(restartedEnvironment({})))
      vi.stubEnv(variable, value);
    vi.resetModules();
    expect((await load()).isRestarted()).toBe(false);
    for (const environment of [restartedEnvironment({}), { [VARIABLE]: String(process.ppid) }])
      for (const [variable, value = ''] of Object.entries(environment)) vi.stubEnv(variable, value);
    vi.resetModules();
    expect((await load()).isRestarted()).toBe(true);
    expect(Object.keys(process.env).filter((name) => name.includes('INTERNAL_RE'))).toEqual([]);
  });
});
