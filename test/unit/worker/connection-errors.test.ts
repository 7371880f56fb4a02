import { expect, it } from 'vitest';
import { connectionError } from '../../../worker/connection-errors.ts';

const error = new DOMException('the operation was aborted due to timeout', 'TimeoutError');

it.each([
  ['ws://127.0.0.1:29400', 'check whether the process that listens on port 29400 is suspended'],
  ['ws://10.0.0.5:29400', 'open port 29400 in the firewall of 10.0.0.5'],
])('no answer from %s has a fix that can help', (url, fix) => {
  expect(connectionError(new URL(url), error)).toMatchObject({
    code: 'UNREACHABLE',
    fix: expect.stringContaining(fix),
  });
});

it('a failure that the system reports after a response has a fix for the network', () => {
  const failure = Object.assign(new Error('read ETIMEDOUT'), { code: 'ETIMEDOUT' });
  expect(connectionError(new URL('ws://gpu7:29400'), failure, 'response')).toMatchObject({
    message: expect.stringContaining('read ETIMEDOUT'),
    fix: expect.stringContaining('open port 29400 in the firewall of gpu7'),
  });
});

it.each([
  ['lookup', '"gpu7" was not resolved in time', '"gpu7" cannot be resolved: check the name'],
  ['acceptance', 'no connection was established in time', 'open port 29400 in the firewall'],
  ['response', 'no response arrived in time', 'port 29400 of gpu7 is suspended or busy'],
] as const)('a timeout during the %s says so, with a fix', (stage, reason, fix) => {
  expect(connectionError(new URL('ws://gpu7:29400'), error, stage)).toMatchObject({
    code: 'UNREACHABLE',
    message: expect.stringContaining(reason),
    fix: expect.stringContaining(fix),
  });
});
