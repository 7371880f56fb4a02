import type { ServerTls } from '../../coordinator/network/http-server.ts';
import type { ShowOptions } from '../options/options.ts';
import { readOwnCertificate } from './tls-files.ts';
import { readToken } from './token.ts';

type PageOptions = Pick<ShowOptions, 'httpSslCertfile' | 'httpSslKeyfile' | 'httpTokenFile'>;

/** Reads the live page's certificate and token. Throws USAGE or TLS. */
export function pageSecrets(options: PageOptions): {
  tls: ServerTls | undefined;
  token: string | undefined;
} {
  const { httpTokenFile: file } = options;
  return {
    tls: pageCertificate(options),
    token: file === undefined ? undefined : readToken(file, '--http-token-file'),
  };
}

/** Reads the live page's certificate; undefined if none was given. Throws USAGE or TLS. */
export function pageCertificate({
  httpSslCertfile: certificate,
  httpSslKeyfile: key,
}: Omit<PageOptions, 'httpTokenFile'>): ServerTls | undefined {
  const flags = ['--http-ssl-certfile', '--http-ssl-keyfile'] as const;
  return readOwnCertificate({ certificate, key, flags }, new Date());
}
