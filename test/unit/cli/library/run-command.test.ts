import { expect, it } from 'vitest';
import { flagsOf } from '../../../../cli/library/run-command.ts';

it('turns options into flags', () => {
  const signal = AbortSignal.abort();
  const options = { steps: 5, http: false, hidden: [128, 64], augment: 'shift=2', signal };
  expect(flagsOf('local', { ...options, nesterov: true, seed: undefined })).toEqual([
    '--steps=5',
    '--no-http',
    '--hidden=128,64',
    '--augment=shift=2',
    '--nesterov',
  ]);
});

it('leaves out a value that may be left out', () => {
  expect(flagsOf('local', { resume: true })).toEqual(['--resume']);
  expect(flagsOf('local', { resume: false, tensorboard: 'x' })).toEqual(['--tensorboard=x']);
});

it.each([
  ['an unknown option', { stepz: 5 }, 'the option "stepz" is unknown'],
  ['an option of another command', { advertise: 'x' }, 'the option "advertise" is unknown'],
  ['an option that the library sets', { logLevel: 'info' }, 'the option "logLevel" is unknown'],
  ['an object', { steps: {} }, 'steps: a value of type object is not allowed'],
  ['null', { steps: null }, 'steps: a value of type object is not allowed'],
])('refuses %s', (_, options, message) => {
  expect(() => flagsOf('local', options)).toThrow(message);
});
