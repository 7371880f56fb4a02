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
  const { httpSslCertfile: certificate, httpSslKeyfile: key, httpTokenFile: file } = options;
  const flags = ['--http-ssl-certfile', '--http-ssl-keyfile'] as const;
  return {
    tls: readOwnCertificate({ certificate, key, flags }, new Date()),
    token: file === undefined ? undefined : readToken(file, '--http-token-file'),
  };
}
