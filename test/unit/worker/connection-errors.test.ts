import { expect, it } from 'vitest';
import { connectionError } from '../../../worker/connection-errors.ts';

it.each([
  ['ws://127.0.0.1:29400', 'check whether the process that listens on port 29400 is suspended'],
  ['ws://10.0.0.5:29400', 'open port 29400 in the firewall of 10.0.0.5'],
])('no answer from %s has a fix that can help', (url, fix) => {
  const error = new DOMException('the operation was aborted due to timeout', 'TimeoutError');
  expect(connectionError(new URL(url), error)).toMatchObject({
    code: 'UNREACHABLE',
    fix: expect.stringContaining(fix),
  });
});
