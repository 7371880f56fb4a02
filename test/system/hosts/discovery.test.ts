import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../../worker/trust.ts';
import { errorTable } from '../../../shared/errors.ts';
import { readCertificates } from '../../../cli/secrets/tls-files.ts';
import { QUICK_RECIPE, REFERENCE } from '../../fixtures/processes/options.ts';
import { run, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { missing, Network, why, type Host } from './network.ts';

const QUICK = [...QUICK_RECIPE, '--steps', '20', '--no-pictures', '--no-http'];

/** Options with a token file, and with a certificate for these hosts and its authority. */
async function secretsFor(...hosts: readonly Host[]) {
  const folder = temporaryFolder();
  const made = await run(['certs', ...hosts.map(({ address }) => address), '--out', folder]);
  expect(made, made.output).toMatchObject({ code: 0 });
  const token = join(folder, 'token');
  writeFileSync(token, 'a-token-of-24-characters', { mode: 0o600 });
  const [authority] = readCertificates(join(folder, 'ca.crt'), 'ca.crt');
  const sha256 = authority === undefined ? '' : digestOf(authority);
  const certificate = ['--ssl-certfile', join(folder, 'coordinator.crt')];
  return {
    ofCoordinator: [...certificate, '--ssl-keyfile', join(folder, 'coordinator.key')],
    token: ['--token-file', token],
    sha256: ['--ssl-ca-sha256', sha256],
  };
}

async function announcing(host: Host, id: string, args: readonly string[]): Promise<Started> {
  const runs = ['--runs-dir', temporaryFolder(), '--run-id', id];
  const coordinator = host.start(['coordinator', '--announce', ...runs, ...QUICK, ...args]);
  await coordinator.says(/announcing this run on/);
  return coordinator;
}

async function endsWell(...processes: readonly Started[]): Promise<void> {
  for (const each of processes) expect(await each.exited, each.output()).toBe(0);
}

describe.skipIf(missing !== undefined)(`a worker without an address${why}`, () => {
  it('finds the only coordinator on its network, over TLS', async () => {
    const network = await Network.open('c', 'w');
    const [c, w] = [network.host('c'), network.host('w')];
    const { ofCoordinator, token, sha256 } = await secretsFor(c);
    const common = ['--host', '0.0.0.0', '--no-shared-memory', ...ofCoordinator, ...token];
    const coordinator = await announcing(c, 'announced', common);
    const worker = w.start(['worker', ...REFERENCE, ...token, ...sha256]);
    await worker.says(/found the coordinator at wss:\/\/10\.77\.0\.1:29400 \(run announced, /);
    await endsWell(worker, coordinator);
    expect(coordinator.output()).toContain('announcing this run on 10.77.0.1');
  });

  it('lists two coordinators with their runs, and joins neither', async () => {
    const network = await Network.open('c', 'd', 'w');
    const [c, d, w] = [network.host('c'), network.host('d'), network.host('w')];
    const { ofCoordinator, token, sha256 } = await secretsFor(c, d);
    for (const [host, id] of [
      [c, 'first'],
      [d, 'second'],
    ] as const)
      await announcing(host, id, ['--host', host.address, ...ofCoordinator, ...token]);
    const worker = w.start(['worker', ...REFERENCE, ...token, ...sha256]);
    expect(await worker.exited, worker.output()).toBe(errorTable.AMBIGUOUS.exit);
    expect(worker.output()).toMatch(/joins none: .*\(run (first|second), .*\(run (first|second), /);
    expect(worker.output()).toMatch(/10\.77\.0\.1.*10\.77\.0\.2|10\.77\.0\.2.*10\.77\.0\.1/);
    expect(worker.output()).toContain('--coordinator URL');
  });

  it('joins a coordinator without TLS that it finds on two networks', async () => {
    const network = await Network.open('c', 'w');
    const [c, w] = [network.host('c'), network.host('w')];
    c.addAddress('10.78.0.1');
    w.addAddress('10.78.0.2');
    const { token } = await secretsFor(c);
    const common = ['--insecure', ...token];
    const coordinator = await announcing(c, 'twice', ['--host', '0.0.0.0', ...common]);
    const worker = w.start(['worker', ...REFERENCE, ...common]);
    await worker.says(/found the coordinator at ws:\/\/10\.7[78]\.0\.1:29400 \(run twice, /);
    await endsWell(worker, coordinator);
  });

  it('finds a coordinator on loopback, with its token', async () => {
    const network = await Network.open('alone');
    const alone = network.host('alone');
    const coordinator = await announcing(alone, 'local', ['--port', '0']);
    const worker = alone.start(['worker', ...REFERENCE]);
    await worker.says(/found the coordinator at ws:\/\/127\.0\.0\.1:\d+\/? \(run local/);
    await endsWell(worker, coordinator);
  });

  it('joins a coordinator that starts later at the default address', async () => {
    const network = await Network.open('alone');
    const alone = network.host('alone');
    const worker = alone.start(['worker', ...REFERENCE]);
    await worker.says(/no coordinator yet/);
    const runs = ['--runs-dir', temporaryFolder()];
    const coordinator = alone.start(['coordinator', ...runs, ...QUICK]);
    await endsWell(worker, coordinator);
    expect(worker.output()).not.toContain('found the coordinator');
  });
});
