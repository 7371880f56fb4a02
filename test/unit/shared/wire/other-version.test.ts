import { expect, it } from 'vitest';
import { updateFix } from '../../../../shared/wire/other-version.ts';

it('the fix says on which machine to install the version, and with which command', () => {
  expect(updateFix('worker', '0.2.0')).toBe(
    "install the same version of mnist-dist on both machines; on the worker's: " +
      'npm install --global mnist-dist@0.2.0, or in a clone: git checkout v0.2.0',
  );
  expect(updateFix('worker', '1.0.0-rc.1')).toContain('mnist-dist@1.0.0-rc.1,');
});

it.each(['1.0.0; rm -rf ~', '1.0.0 -r', '$(id)', 'https://example.org/x.tgz', '', '0', '1.0.0\n'])(
  'the fix does not put anything but a version into the command: %j',
  (version) => {
    expect(updateFix('worker', version)).toBe(
      'install the same version of mnist-dist on both machines',
    );
  },
);
