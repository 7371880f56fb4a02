import { makeAuthority, makeCertificate } from '../secrets/certificate-authority.ts';
import type { ServerTls } from '../../coordinator/network/http-server.ts';

/** Of a listener of the bench, and who vouches for it. */
export interface BenchCertificate extends ServerTls {
  readonly ca: string;
}

/** One of the kind that `mnist-dist certs` makes. */
export async function makeBenchCertificate(): Promise<BenchCertificate> {
  const now = new Date();
  const authority = await makeAuthority('mnist-dist bench', 1, now);
  const { certificate, key } = await makeCertificate(authority, ['127.0.0.1'], 1, now);
  return { cert: certificate + authority.certificate, key, ca: authority.certificate };
}
