import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { Authenticator } from '../../../coordinator/network/authenticator.ts';
import { createBoundedServer, type ServerTls } from '../../../coordinator/network/http-server.ts';
import { ClusterError } from '../../../shared/errors.ts';
import { connect } from '../../../worker/connect.ts';
import { fetchDescription, type DialOptions } from '../../../worker/dial.ts';
import { Anchor, digestOf, type Trust } from '../../../worker/trust.ts';
import { description as sampleDescription } from '../../hostile/fake-coordinator.ts';
import { isProven } from '../../fixtures/proven-client.ts';
import { TestAuthority } from '../../fixtures/certificates.ts';
import { listening } from '../../fixtures/listening.ts';

const TOKEN = 'a-token-of-the-tests-0123456789';
const DAY_MILLISECONDS = 86_400_000;

let ours: TestAuthority;
let theirs: TestAuthority;
beforeAll(async () => {
  // Both authorities have the same name, as an attacker would arrange.
  [ours, theirs] = [await TestAuthority.make(), await TestAuthority.make()];
});

const digest = (pem: string): string => digestOf(new X509Certificate(pem));
const authority = (whose: TestAuthority): Trust => ({
  kind: 'certificates',
  pem: whose.pair.certificate,
});

/** A server that describes a run, and the headers of the requests that it received. */
async function listen(tls: ServerTls | undefined): Promise<{ port: number; heard: string[] }> {
  const heard: string[] = [];
  const authenticator = new Authenticator(TOKEN);
  const http = createBoundedServer(100, tls);
  http.on('request', (request, response) => {
    heard.push(JSON.stringify([request.url, request.rawHeaders]));
    if (isProven(authenticator, request, response)) response.end(JSON.stringify(sampleDescription));
  });
  http.on('upgrade', (request, socket) => {
    heard.push(JSON.stringify([request.url, request.rawHeaders]));
    socket.destroy();
  });
  return { port: await listening(http), heard };
}

function dialOf(port: number, trust: Trust, scheme = 'wss', host = '127.0.0.1'): DialOptions {
  return {
    version: '0.2.0',
    coordinator: new URL(`${scheme}://${host}:${port}`),
    anchor: new Anchor(trust),
    token: () => TOKEN,
    maxModelBytes: 1e9,
    maxDataBytes: 1e9,
    requestLimitMilliseconds: 10_000,
    dataLimitMilliseconds: 60_000,
    maxMemoryBytes: 1e9,
    engine: 'reference',
    signal: new AbortController().signal,
  };
}

async function refusal(dial: DialOptions): Promise<ClusterError> {
  const error: unknown = await fetchDescription(dial).catch((reason: unknown) => reason);
  if (error instanceof ClusterError) return error;
  throw new Error(`it was not refused: ${String(error)}`);
}

describe('a worker trusts a coordinator', () => {
  it('whose certificate or authority is in its file or in its join string', async () => {
    const server = await ours.server();
    const { port, heard } = await listen(server);
    for (const trust of [
      authority(ours),
      { kind: 'certificates', pem: theirs.pair.certificate + ours.pair.certificate },
      { kind: 'certificates', pem: server.own },
      { kind: 'digest', sha256: digest(ours.pair.certificate) },
      { kind: 'digest', sha256: digest(server.own) },
    ] as const)
      expect(await fetchDescription(dialOf(port, trust))).toMatchObject({
        run: sampleDescription.run,
      });
    // Each dial requests a challenge and then sends a proof, but never the token.
    expect(heard.length).toBe(10);
    expect(heard.join('\n')).not.toContain(TOKEN);
  });
});

describe('a worker does not send a request to a coordinator', () => {
  it.each([
    ['whose certificate it does not trust', () => authority(theirs)],
    ['whose certificate this machine does not trust', (): Trust => ({ kind: 'system' })],
    [
      'that has no certificate with the digest in the join string',
      (): Trust => ({ kind: 'digest', sha256: digest(theirs.pair.certificate) }),
    ],
  ])('%s', async (_who, trust) => {
    const { port, heard } = await listen(await ours.server());
    const error = await refusal(dialOf(port, trust()));
    expect(error.code).toBe('TLS');
    expect(error.fix).toMatch(/--ssl-ca-certfile|join string/);
    expect(heard).toEqual([]);
    // The upgrade would contain a proof as well.
    await expect(connect(dialOf(port, trust()), sampleDescription)).rejects.toMatchObject({
      code: 'TLS',
    });
    expect(heard).toEqual([]);
  });

  it('that presents the right authority with a certificate that it did not sign', async () => {
    const { own, key } = await theirs.server();
    const { port, heard } = await listen({ cert: own + ours.pair.certificate, key });
    for (const trust of [
      authority(ours),
      { kind: 'digest', sha256: digest(ours.pair.certificate) } as const,
    ])
      expect((await refusal(dialOf(port, trust))).code).toBe('TLS');
    expect(heard).toEqual([]);
  });

  it.each([
    ['whose certificate is for a different name', ['other.example'], 0, /is for a different name/],
    ['whose certificate has expired', ['127.0.0.1'], -90, /has expired/],
    ['whose certificate is not valid yet', ['127.0.0.1'], 90, /is not valid yet/],
  ] as const)('%s', async (_who, names, days, says) => {
    const now = new Date(Date.now() + days * DAY_MILLISECONDS);
    const { port, heard } = await listen(await ours.server([names[0]], now));
    for (const trust of [
      authority(ours),
      { kind: 'digest', sha256: digest(ours.pair.certificate) } as const,
    ]) {
      const error = await refusal(dialOf(port, trust));
      expect(error.code).toBe('TLS');
      expect(error.message).toMatch(says);
      expect(error.fix).toMatch(/mnist-dist certs|clock/);
    }
    expect(heard).toEqual([]);
  });

  it('whose authority has expired, and says that it has', async () => {
    const past = new Date(Date.now() - 400 * DAY_MILLISECONDS);
    const old = await TestAuthority.make('old CA', past);
    const { port, heard } = await listen(await old.server(['127.0.0.1'], past));
    for (const trust of [
      authority(old),
      { kind: 'digest', sha256: digest(old.pair.certificate) } as const,
    ])
      expect(await refusal(dialOf(port, trust))).toMatchObject({
        code: 'TLS',
        message: expect.stringContaining('the certificate that this worker trusts, "CN=old CA", '),
        fix: expect.stringContaining('mnist-dist certs NAME --out DIR'),
      });
    expect(heard).toEqual([]);
  });

  it('that does not speak TLS', async () => {
    const { port, heard } = await listen(undefined);
    const error = await refusal(dialOf(port, authority(ours)));
    expect(error).toMatchObject({
      code: 'TLS',
      message: expect.stringContaining('does not speak TLS'),
    });
    expect(error.fix).toContain('--ssl-certfile');
    expect(heard).toEqual([]);
  });
});

describe('a worker that gets no answer suggests a fix', () => {
  it('when it dials without TLS, but the coordinator has a certificate', async () => {
    const { port } = await listen(await ours.server());
    const error = await refusal(dialOf(port, { kind: 'system' }, 'ws'));
    expect(error).toMatchObject({ code: 'UNREACHABLE', fix: expect.stringContaining('wss://') });
  });

  it('when no process listens, and when the name cannot be resolved', async () => {
    const refused = await refusal(dialOf(1, { kind: 'system' }, 'ws'));
    expect(refused).toMatchObject({
      code: 'UNREACHABLE',
      fix: expect.stringContaining('start one with `mnist-dist coordinator`'),
    });
    const unknown = await refusal(dialOf(29_400, authority(ours), 'wss', 'nowhere.invalid'));
    expect(unknown).toMatchObject({
      code: 'UNREACHABLE',
      fix: expect.stringContaining('cannot be resolved'),
    });
  });
});
