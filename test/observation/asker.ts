import { once } from 'node:events';
import { get, request, type IncomingMessage } from 'node:http';
import { request as secureRequest } from 'node:https';
import { onTestFinished } from 'vitest';
import type { Update } from '../../dashboards/feed/api.ts';

export interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Asks a listener of this machine, over a connection of its own; with `ca` over TLS. */
export async function ask(port: number, path: string, options: object = {}): Promise<Answer> {
  const asked = ('ca' in options ? secureRequest : request)({
    host: '127.0.0.1',
    port,
    path,
    agent: false,
    ...options,
  });
  asked.end();
  const [response]: IncomingMessage[] = await once(asked, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of response ?? []) chunks.push(Buffer.from(chunk));
  return { status: response?.statusCode, headers: response?.headers ?? {}, body: Buffer.concat(chunks) };
}

/** An open page: the data of its events, as they come. */
export async function follow(
  port: number,
): Promise<{ events: AsyncGenerator<Update>; response: IncomingMessage }> {
  const asked = get({ host: '127.0.0.1', port, path: '/api/stream' });
  onTestFinished(() => void asked.destroy());
  const [response]: IncomingMessage[] = await once(asked, 'response');
  if (response === undefined) throw new Error('there is an answer');
  response.setEncoding('utf8');
  async function* events(): AsyncGenerator<Update> {
    let text = '';
    for await (const chunk of response ?? []) {
      text += String(chunk);
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        if (event.startsWith('data: ')) yield JSON.parse(event.slice(6));
      }
    }
  }
  return { events: events(), response };
}
