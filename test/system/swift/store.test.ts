import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseStoreUri } from '../../../artifacts/store/store-address.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal, REFERENCE } from '../../fixtures/processes/options.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { keepsTheContract } from '../../fixtures/store/store-contract.ts';
import { filesUnder, makeRun, resultsOfRun, RUN } from '../../fixtures/store/stored-run.ts';
import { countingProxy } from './counting-proxy.ts';
import { missing, Swift, why } from './swift.ts';

const BUCKET = 'results';
const STORE = 31;
/** Time limit for a server that hangs. */
const START_MILLISECONDS = 120_000;

/** The command for a run of three steps whose results go to this store. */
function short(runs: string, store: string): string[] {
  return quickLocal(runs).concat('--steps', '3', '--no-http', '--artifacts', store);
}

describe.skipIf(missing !== undefined)(`an S3 server that checks signatures${why}`, () => {
  let swift: Swift;
  let count = 0;
  const uri = () => `s3://${BUCKET}/made/up-${++count}`;
  beforeAll(async () => {
    swift = await Swift.start();
    await swift.makeBucket(BUCKET);
    Object.assign(process.env, swift.environment);
  }, START_MILLISECONDS);
  afterAll(() => swift.stop(), START_MILLISECONDS);

  describe('as a store', () => {
    keepsTheContract(() => parseStoreUri(uri()));
  });

  it('stores a run, returns it with the same bytes, and keeps the type of each file', async () => {
    const folder = temporaryFolder();
    const [directory, store] = [makeRun(folder), uri()];
    const pushed = await run(['push', directory, store]);
    expect(pushed).toMatchObject({
      code: 0,
      output: expect.stringContaining(`${store}/${RUN}: 8 files`),
    });
    const pulled = await run(['pull', `${store}/${RUN}`, join(folder, 'pulled')]);
    expect(pulled, pulled.output).toMatchObject({ code: 0 });
    expect(filesUnder(join(folder, 'pulled'))).toEqual(resultsOfRun);
    const typeOf = (name: string) =>
      swift.typeOf(BUCKET, `${store.slice(`s3://${BUCKET}/`.length)}/${RUN}/${name}`);
    expect(await typeOf('artifacts/loss.svg')).toBe('image/svg+xml');
    expect(await typeOf('artifacts/report.html')).toBe('text/html; charset=utf-8');
    expect(await typeOf('manifest.json')).toBe('application/json');
    const again = await run(['push', directory, store]);
    expect(again, again.output).toMatchObject({
      code: 0,
      output: expect.stringContaining('; sent now: 0 files'),
    });
  });

  it("receives a run's exact bytes when it ends, and its model can be evaluated", async () => {
    const folder = temporaryFolder();
    const store = uri();
    const trained = await run([...short(folder, store), '--pictures']);
    expect(trained, trained.output).toMatchObject({
      code: 0,
      output: expect.stringContaining(`the results are at ${store}/r`),
    });
    expect(await run(['pull', `${store}/r`, '--runs-dir', join(folder, 'new')])).toMatchObject({
      code: 0,
    });
    const [mine, theirs] = [filesUnder(join(folder, 'r')), filesUnder(join(folder, 'new', 'r'))];
    expect(Object.keys(theirs)).toEqual(
      expect.arrayContaining([
        'model.safetensors',
        'artifacts/report.html',
        'artifacts/manifest.json',
      ]),
    );
    const results = Object.entries(mine).filter(
      ([name]) => !/^(?:checkpoints\/|lock\.json|\.drafts-)/.test(name),
    );
    expect(theirs).toEqual(Object.fromEntries(results));

    const said = await run([
      'eval',
      `${store}/r`,
      ...REFERENCE,
      '--no-pictures',
      '--format',
      'json',
      '--log-level',
      'error',
    ]);
    expect(said, said.output).toMatchObject({ code: 0 });
    const { confusion } = JSON.parse(theirs['artifacts/confusion_matrix.json'] ?? '');
    expect(JSON.parse(said.output).confusion).toEqual(confusion);
  });

  it('may be down when a run ends: the run is complete, and says how to push it', async () => {
    const folder = temporaryFolder();
    const store = uri();
    swift.kill();
    const { code, output } = await run(short(folder, store));
    expect(code, output).toBe(STORE);
    expect(output).toContain('does not answer (ECONNREFUSED); the run starts anyway (--artifacts)');
    expect(readRun(join(folder, 'r')).record.state).toBe('finished');
    const [, ...command] = /(mnist-dist) (push) (\S+) (\S+)/.exec(output)?.slice(1) ?? [];
    expect(command).toEqual(['push', join(folder, 'r'), store]);
    await swift.restart();
    expect(await run(command)).toMatchObject({ code: 0 });
  });

  it.each([
    [
      'a wrong secret',
      { AWS_SECRET_ACCESS_KEY: 'wrong' },
      'SignatureDoesNotMatch',
      'AWS_SECRET_ACCESS_KEY',
    ],
    [
      'an unknown key',
      { AWS_ACCESS_KEY_ID: 'who:else' },
      'rejected the access key',
      'AWS_ACCESS_KEY_ID',
    ],
  ])('refuses %s', async (_what, environment, reason, fix) => {
    const store = uri();
    const { code, output } = await run(['push', makeRun(temporaryFolder()), store], environment);
    expect(code).toBe(STORE);
    for (const part of [store, reason, fix, swift.environment['AWS_ENDPOINT_URL']])
      expect(output).toContain(part);
    expect(output).not.toContain('testing');
  });

  it.each<[string, NodeJS.ProcessEnv, string, string]>([
    ['a wrong secret', { AWS_SECRET_ACCESS_KEY: 'wrong' }, BUCKET, 'SignatureDoesNotMatch'],
    ['a missing bucket', {}, 'nowhere-to-be-found', 'bucket nowhere-to-be-found does not exist'],
  ])('fails a run before it begins because of %s', async (_what, environment, bucket, reason) => {
    const folder = temporaryFolder();
    const { code, output } = await run(short(folder, `s3://${bucket}/x`), environment);
    expect(code, output).toBe(STORE);
    expect(output).toContain(reason);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('reports a bucket that does not exist', async () => {
    const directory = makeRun(temporaryFolder());
    for (const args of [
      ['push', directory, 's3://nowhere-to-be-found/x'],
      ['pull', `s3://nowhere-to-be-found/x/${RUN}`],
    ]) {
      const { code, output } = await run(args);
      expect(code, output).toBe(STORE);
      expect(output).toContain('bucket nowhere-to-be-found does not exist at http');
      expect(output).toContain('aws s3 mb s3://nowhere-to-be-found');
    }
  });

  it('lists the existing runs when a run was not found', async () => {
    const store = uri();
    expect(await run(['push', makeRun(temporaryFolder()), store])).toMatchObject({ code: 0 });
    const { code, output } = await run(['pull', store, join(temporaryFolder(), 'x')]);
    expect(code).toBe(STORE);
    expect(output).toContain(`${store}/${RUN}`);
  });

  it('may be killed during an upload: no partial run is pulled, and push works later', async () => {
    const folder = temporaryFolder();
    const [directory, store] = [makeRun(folder), uri()];
    writeFileSync(join(directory, 'metrics.jsonl'), randomBytes(24_000_000));
    const before = filesUnder(directory);
    const proxy = await countingProxy(swift.port, 8_000_000, () => swift.kill());
    const cut = await run(['push', directory, store], {
      AWS_ENDPOINT_URL: `http://127.0.0.1:${proxy}`,
    });
    expect(cut.code, cut.output).toBe(STORE);
    expect(cut.output).toContain('does not answer');
    expect(cut.output).toContain('then retry');
    expect(filesUnder(directory)).toEqual(before);
    await swift.restart();

    const half = await run(['pull', `${store}/${RUN}`, join(folder, 'pulled')]);
    expect(half.code, half.output).toBe(STORE);
    expect(existsSync(join(folder, 'pulled'))).toBe(false);
    const finished = await run(['push', directory, store]);
    expect(finished, finished.output).toMatchObject({ code: 0 });
    expect(await run(['pull', `${store}/${RUN}`, join(folder, 'pulled')])).toMatchObject({
      code: 0,
    });
    expect(
      readFileSync(join(folder, 'pulled', 'metrics.jsonl')).equals(
        readFileSync(join(directory, 'metrics.jsonl')),
      ),
    ).toBe(true);
  });

  it('may be down: the error says so, and push works once it is back', async () => {
    const [directory, store] = [makeRun(temporaryFolder()), uri()];
    swift.kill();
    const { code, output } = await run(['push', directory, store]);
    expect(code).toBe(STORE);
    expect(output).toContain(
      `${swift.environment['AWS_ENDPOINT_URL']} does not answer (ECONNREFUSED)`,
    );
    expect(output).toContain('retrying in');
    await swift.restart();
    expect(await run(['push', directory, store])).toMatchObject({ code: 0 });
  });
});
