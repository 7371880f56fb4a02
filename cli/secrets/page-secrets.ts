import type { ServerTls } from '../../coordinator/network/http-server.ts';
import type { ShowOptions } from '../options/options.ts';
import { pageCertificate } from './tls-files.ts';
import { readToken } from './token.ts';

type PageOptions = Pick<ShowOptions, 'httpSslCertfile' | 'httpSslKeyfile' | 'httpTokenFile'>;

/**
 * With what the live page is kept from those whom it does not concern. Throws USAGE or TLS for
 * files that cannot be used.
 */
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
