import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';

/**
 * An npm registry on loopback that serves one package, as if it were published there, and redirects
 * every other request to the real registry. npm uses a package's npm-shrinkwrap.json only if the
 * package comes from a registry.
 */
export async function startRegistry(
  tarball: string,
  description: { readonly name: string; readonly version: string },
  upstream: string,
): Promise<{ readonly url: string; readonly server: Server }> {
  const bytes = readFileSync(tarball);
  const server = createServer((request, response) => {
    const { name, version } = description;
    if (request.url === `/${name}/-/${name}-${version}.tgz`) return void response.end(bytes);
    if (request.url !== `/${name}`)
      return void response
        .writeHead(307, { Location: new URL(request.url ?? '', upstream).href })
        .end();
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    const dist = { tarball: `${url}${name}/-/${name}-${version}.tgz`, integrity };
    const published = { ...description, _hasShrinkwrap: true, dist };
    response.setHeader('Content-Type', 'application/json');
    response.end(
      JSON.stringify({
        name,
        'dist-tags': { latest: version },
        versions: { [version]: published },
      }),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const url = `http://127.0.0.1:${port}/`;
  return { url, server };
}
