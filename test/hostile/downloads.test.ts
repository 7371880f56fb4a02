import { describe, expect, it, onTestFinished } from 'vitest';
import { listen } from '../../coordinator/network/server.ts';
import { MAX_CONNECTIONS, MAX_REQUESTS_PER_ADDRESS } from '../../shared/limits.ts';
import { Attacker } from './attacker.ts';
import { TOKEN, until } from './honest.ts';

/** More than the system's buffers for a connection can hold. */
const DATASET_BYTES = 64 * 1024 ** 2;
const DATA_PATH = `/data/${'0'.repeat(64)}`;
const OTHER_ADDRESS = '127.0.0.2';

async function startListener(): Promise<{ port: number; warnings: string[] }> {
  const warnings: string[] = [];
  const server = await listen(
    {
      host: '127.0.0.1',
      port: 0,
      token: TOKEN,
      maxFrameBytes: 1024 ** 2,
      dataset: { digest: '0'.repeat(64), bytes: new Uint8Array(DATASET_BYTES) },
      description: () => ({ run: 'r' }),
      version: '0.2.0',
      openMemory: () => undefined,
      warn: (line) => warnings.push(line),
    },
    {
      connected: (connection) => onTestFinished(() => connection.terminate('the test has ended')),
      message: () => undefined,
      control: () => undefined,
      disconnected: () => undefined,
    },
  );
  onTestFinished(() => server.close());
  return { port: server.port, warnings };
}

/** A token holder that requests the dataset and does not read it. */
async function slowReader(port: number, localAddress?: string): Promise<Attacker> {
  const attacker = Attacker.get(port, DATA_PATH, TOKEN, 1, localAddress);
  await until(
    () => attacker.isProven || attacker.isGone,
    () => 'it was not challenged',
  );
  attacker.stopReading();
  onTestFinished(() => attacker.vanish());
  return attacker;
}

describe('token holders that read the dataset slowly', () => {
  it('count together if they dial from several addresses of one host', async () => {
    const { port, warnings } = await startListener();
    const addresses = Array.from({ length: MAX_REQUESTS_PER_ADDRESS + 8 }, (_, i) => i + 1);
    for (const last of addresses) await slowReader(port, `127.0.1.${last}`);
    await until(
      () => warnings.length === 8,
      () => `${warnings.length} were refused`,
    );
    for (const line of warnings) expect(line).toContain('MAX_REQUESTS_PER_ADDRESS');
  });

  it('do not keep workers at other addresses out, and are named in the log', async () => {
    const { port, warnings } = await startListener();
    await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => slowReader(port)));
    const worker = Attacker.upgrade(port, { localAddress: OTHER_ADDRESS });
    await until(
      () => worker.status !== undefined,
      () => 'the upgrade was not answered',
    );
    expect(worker.status).toBe(101);
    const { status, text } = await Attacker.get(port, '/run', TOKEN, 1, OTHER_ADDRESS).ended;
    expect(status).toBe(200);
    expect(text).toContain('"run":"r"');
    expect(warnings).toEqual([
      expect.stringMatching(
        new RegExp(
          '^refused 1 connection from 127.0.0.1: it has the token, but the places for requests ' +
            `.*MAX_REQUESTS_PER_ADDRESS ${MAX_REQUESTS_PER_ADDRESS}`,
        ),
      ),
    ]);
  });
});
