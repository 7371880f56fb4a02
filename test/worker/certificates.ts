import { makeAuthority, makeCertificate, type Pair } from '../../cli/secrets/certificate-authority.ts';

const DAYS = 30;

/** An authority and what it signs. */
export class TestAuthority {
  readonly pair: Pair;

  private constructor(pair: Pair) {
    this.pair = pair;
  }

  static async make(name = 'test CA'): Promise<TestAuthority> {
    return new TestAuthority(await makeAuthority(name, 10 * DAYS, new Date()));
  }

  /** A server's certificate for these names, its chain and its key, made at some time. */
  async server(
    names: readonly [string, ...string[]] = ['127.0.0.1'],
    now = new Date(),
  ): Promise<{ own: string; cert: string; key: string }> {
    const { certificate, key } = await makeCertificate(this.pair, names, DAYS, now);
    return { own: certificate, cert: certificate + this.pair.certificate, key };
  }
}
