import { describe, expect, it } from 'vitest';
import type { Announcement } from '../../../shared/wire/announcement.ts';
import { PROTOCOL } from '../../../shared/wire/messages.ts';
import { chooseCoordinator, type Credentials } from '../../../worker/choose-coordinator.ts';

const CA = 'ab'.repeat(32);
const secure: Announcement = {
  id: '0123456789abcdef',
  coordinator: 'wss://10.77.0.1:29400',
  run: 'first',
  protocol: PROTOCOL,
  version: '0.2.0',
  ca: CA,
};
const plain = { ...secure, coordinator: 'ws://10.77.0.2:29400', run: 'plain', ca: undefined };
const capitals = { ...secure, coordinator: 'WS://10.77.0.1:29400' };
const loopback = { ...plain, coordinator: 'ws://127.0.0.1:40000' };
const another = { id: 'f'.repeat(16), coordinator: 'wss://10.77.0.9:29400' };
const given: Credentials = {
  hasToken: () => true,
  sha256: CA,
  hasAuthority: true,
  isInsecure: false,
};
const noAuthority = { ...given, sha256: undefined, hasAuthority: false };

describe('a worker without an address', () => {
  it.each<[string, Announcement, Partial<Credentials>]>([
    ['whose authority it was given by SHA-256', secure, given],
    ['whose authority may be in its file', secure, { ...given, sha256: undefined }],
    ['without TLS, with --insecure', plain, { ...noAuthority, isInsecure: true }],
    ['without TLS on this machine', loopback, noAuthority],
  ])('joins the only coordinator, %s', (_which, announcement, credentials) => {
    expect(chooseCoordinator([announcement], { ...given, ...credentials })).toEqual({
      kind: 'join',
      coordinator: [announcement],
    });
  });

  it.each<[string, Announcement, Partial<Credentials>, RegExp]>([
    ['whose certificate it cannot check', secure, noAuthority, /to check its certificate/],
    ['with TLS, even with --insecure', secure, { ...noAuthority, isInsecure: true }, /to check/],
    ['with a different authority', { ...secure, ca: 'cd'.repeat(32) }, {}, /SHA-256 cdcd/],
    ['without TLS', plain, noAuthority, /only with --insecure/],
    ['without TLS, if it can check certificates', plain, { isInsecure: true }, /does not use TLS/],
    ['without TLS on this machine, if it can check certificates', loopback, {}, /does not use TLS/],
    ['whose fingerprint it knows, but without TLS', capitals, {}, /does not use TLS/],
    ['for which it has no token', secure, { hasToken: () => false }, /no token/],
    ['with a different protocol', { ...secure, protocol: PROTOCOL + 1 }, {}, /same version/],
  ])('does not join a coordinator %s', (_which, announcement, credentials, why) => {
    const choice = chooseCoordinator([announcement], { ...given, ...credentials });
    expect(choice).toEqual({
      kind: 'none',
      obstacles: [{ announcement, why: expect.stringMatching(why) }],
    });
  });

  it('joins neither of two coordinators that it could join', () => {
    const coordinators = [[secure], [{ ...secure, ...another }]];
    expect(chooseCoordinator(coordinators.flat(), given)).toEqual({
      kind: 'ambiguous',
      coordinators,
    });
  });

  it.each<[string, Partial<Announcement>]>([
    ['with two addresses', { coordinator: another.coordinator }],
    ['that was restarted', { id: another.id }],
    ['that was restarted with a new run', { id: another.id, run: 'second' }],
  ])('joins a coordinator %s', (_which, changes) => {
    const coordinator = [secure, { ...secure, ...changes }];
    expect(chooseCoordinator(coordinator, given)).toEqual({ kind: 'join', coordinator });
  });

  it('joins neither of two coordinators that announce the same id for different runs', () => {
    const copied = { ...secure, coordinator: another.coordinator, run: 'second' };
    expect(chooseCoordinator([secure, copied], given)).toMatchObject({ kind: 'ambiguous' });
  });

  it('joins the only coordinator that it can join, even if it finds others', () => {
    const others = [plain, { ...secure, ca: 'cd'.repeat(32) }];
    expect(chooseCoordinator([...others, secure], given)).toMatchObject({ coordinator: [secure] });
  });

  it('waits if there is none', () => {
    expect(chooseCoordinator([], given)).toEqual({ kind: 'none', obstacles: [] });
  });
});
