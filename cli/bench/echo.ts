import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { portOf } from '../../coordinator/network/http-server.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { Changes } from './changes.ts';
import { MeasuredProcess } from './measured-process.ts';
import type { BenchCertificate, ExchangeBench } from './exchange-bench.ts';

/**
 * Exchanges the same number of bytes as the wire, over Node's own TLS sockets: each process answers
 * a message with one of the same length. The rate is an upper bound for the wire over TLS.
 */
export class EchoBench implements ExchangeBench {
  readonly name = 'bare TLS';
  readonly transport = 'bare tls';
  readonly #bytes: Buffer;
  readonly #certificate: BenchCertificate;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #processes: MeasuredProcess[] = [];
  readonly #sockets: { readonly socket: TLSSocket; missing: number }[] = [];
  #server: Server | undefined;
  readonly #changes = new Changes();

  constructor(bytes: number, certificate: BenchCertificate, environment: NodeJS.ProcessEnv) {
    this.#bytes = randomBytes(bytes);
    this.#certificate = certificate;
    this.#environment = environment;
  }

  async connect(workers: number): Promise<void> {
    const server = (this.#server ??= await this.#listen());
    const port = portOf(server);
    assert(port !== undefined, 'the server is listening');
    const { ca } = this.#certificate;
    while (this.#processes.length < workers) {
      const task = { kind: 'echo', port, ca, bytes: this.#bytes.length } as const;
      const started = new MeasuredProcess('an echo process', task, this.#environment);
      this.#processes.push(started);
      started.failed.catch((error: unknown) => this.#changes.tell(error));
    }
    await this.#changes.until(() => this.#sockets.length >= workers);
  }

  async exchange(workers: number, isLast: () => boolean): Promise<void> {
    const some = this.#sockets.slice(0, workers);
    const send = () => {
      for (const each of some) {
        each.missing = this.#bytes.length;
        each.socket.write(this.#bytes);
      }
    };
    const isAnswered = () => some.every(({ missing }) => missing === 0);
    await this.#changes.exchange(send, isAnswered, isLast);
  }

  fail(error: unknown): void {
    this.#changes.tell(error);
  }

  async end(): Promise<void> {
    for (const { socket } of this.#sockets) socket.destroy();
    this.#server?.close();
    await Promise.all(this.#processes.map((each) => each.end()));
  }

  async #listen(): Promise<Server> {
    tuneRuntime();
    const { cert, key } = this.#certificate;
    const server = createServer({ cert, key, minVersion: 'TLSv1.3', noDelay: true }, (socket) => {
      const peer = { socket, missing: 0 };
      this.#sockets.push(peer);
      socket.on('data', ({ length }: Buffer) => {
        peer.missing -= length;
        if (peer.missing === 0) this.#changes.tell();
      });
      socket.on('error', (error: Error) =>
        this.#changes.tell(
          new ClusterError('RUN_FAILED', `an echo process was lost: ${error.message}`),
        ),
      );
      this.#changes.tell();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }
}
