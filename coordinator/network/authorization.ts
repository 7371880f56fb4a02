import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Whether a request has Authorization: Bearer TOKEN. */
export function isAuthorized(token: string, request: IncomingMessage): boolean {
  return isToken(
    token,
    /^Bearer (.{1,512})$/i.exec(request.headers.authorization ?? '')?.[1] ?? '',
  );
}

/** Compares in constant time. */
export function isToken(token: string, given: string): boolean {
  return timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
