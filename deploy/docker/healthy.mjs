// The image's HEALTHCHECK: ends with 0 if this container's live page responds on /healthz, with or
// without TLS.
import { get as getPlain } from 'node:http';
import { get as getSecure } from 'node:https';

const port = process.env.MNIST_DIST_HTTP_PORT ?? '9464';

/**
 * Resolves to the status. The container queries itself, so the certificate may be for any name.
 * @param {typeof getSecure} get
 * @param {'http' | 'https'} scheme
 * @returns {Promise<number | undefined>}
 */
function ask(get, scheme) {
  return new Promise((resolve, reject) => {
    const address = `${scheme}://127.0.0.1:${port}/healthz`;
    const request = get(address, { rejectUnauthorized: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.once('error', reject);
  });
}

const status = await ask(getSecure, 'https').catch(() => ask(getPlain, 'http'));
if (status !== 200) {
  process.stderr.write(`/healthz returned ${status ?? 'nothing'}\n`);
  process.exitCode = 1;
}
