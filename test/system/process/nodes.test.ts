import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { arch } from 'node:process';
import { describe, expect, it } from 'vitest';
import { readyTensorFlow } from '../../../worker/native/engine-manifest.ts';
import { plainRequest, upgradeRequest } from '../../hostile/frames.ts';
import { answerTo } from '../../fixtures/proven-client.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { TOKEN } from '../../fixtures/processes/options.ts';
import { start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** The folder into which test/install-nodes.sh installs Node versions. */
const FOLDER = new URL('../../../.mnist-dist/nodes/', import.meta.url);

/** Name and executable of every installed Node. */
const nodes = (existsSync(FOLDER) ? readdirSync(FOLDER) : []).map((name) => ({
  name,
  path: new URL(`${name}/node_modules/node-linux-${arch}/bin/node`, FOLDER).pathname,
}));

describe.skipIf(nodes.length === 0)('other versions of Node (npm run nodes installs them)', () => {
  const engines = [
    { engine: 'wasm', isMissing: false },
    { engine: 'tensorflow', isMissing: readyTensorFlow() === undefined },
  ];

  it.each(engines.filter(({ isMissing }) => !isMissing))(
    'give the same bytes with $engine as this version',
    async ({ engine }) => {
      const settings = ['-n', '2', '--steps', '50', '--engine', engine];
      const here = await train(settings);
      expect(nodes.length).toBeGreaterThanOrEqual(4);
      for (const { name, path } of nodes) {
        const there = await train(settings, {}, path);
        expect(there.modelSha256, `Node ${name}`).toBe(here.modelSha256);
        expect(there.record.chain, `Node ${name}`).toBe(here.record.chain);
      }
    },
  );

  it('reject an upgrade with a body, and keep the body out of other requests', async () => {
    for (const { name, path } of nodes) {
      const options = [
        '--port',
        '0',
        '--runs-dir',
        temporaryFolder(),
        '--no-http',
        '--start-workers',
        '2',
        '--run-id',
        'r',
      ];
      const coordinator = start(['coordinator', ...options], { MNIST_DIST_TOKEN: TOKEN }, path);
      const [, port = ''] = await coordinator.says(/ws:\/\/127\.0\.0\.1:(\d+)/);
      const upgrading = connect(Number(port), '127.0.0.1').on('error', () => undefined);
      const closed = once(upgrading, 'close');
      // When this request is answered, the coordinator has handled all earlier bytes.
      const asked = async () => {
        const [response] = await once(get({ port, path: '/run', agent: false }), 'response');
        await once(response.resume(), 'end');
      };
      upgrading.write(plainRequest('/worker/r'));
      const [challenge] = await once(upgrading, 'data');
      upgrading.write(
        upgradeRequest(
          answerTo(String(challenge), TOKEN, 'GET /worker/r') ?? null,
          '/worker/r',
          'Content-Length: 6\r\n',
        ),
      );
      await once(upgrading, 'data');
      // A ping keeps the connection open.
      upgrading.write(Buffer.of(0x89, 0x80, 0, 0, 0, 0));
      await asked();
      // One of these connections gets the upgrade's parser.
      const others: { readonly socket: Socket; readonly answer: Promise<unknown[]> }[] = [];
      const request = plainRequest('/run');
      for (let i = 0; i < 20; i++) {
        const socket = connect(Number(port), '127.0.0.1');
        others.push({ socket, answer: once(socket, 'data') });
        socket.write(request.slice(0, 30));
        await asked();
      }
      upgrading.write('\r\nnonsense\r\n\r\n');
      await closed;
      for (const { socket, answer } of others) {
        socket.write(request.slice(30));
        expect(String(await answer), `Node ${name}`).toMatch(
          /^HTTP\/1\.1 401 [^]*MnistDist nonce=/,
        );
        socket.destroy();
      }
      coordinator.process.kill('SIGTERM');
      await coordinator.exited;
    }
  });
});
