// The HEALTHCHECK of the image: ends with 0 if this container's live page answers on /healthz, with
// TLS or without.
import { get as getPlain } from 'node:http';
import { get as getSecure } from 'node:https';

const port = process.env.MNIST_DIST_HTTP_PORT ?? '9464';

/**
 * Resolves with the status. The container asks itself, so the certificate may have any name.
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
  process.stderr.write(`/healthz answers ${status ?? 'nothing'}\n`);
  process.exitCode = 1;
}
