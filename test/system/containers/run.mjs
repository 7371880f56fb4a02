// `npm run test:containers`: builds the images and runs them, with Debian's buildah and podman. It
// takes minutes, and a few gigabytes in /tmp, which it removes. With CONTAINERS_SCRATCH=DIR, the
// images stay in DIR, and the next run starts with them.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

const packages = {
  buildah: 'buildah',
  podman: 'podman',
  runc: 'runc',
  mmdebstrap: 'mmdebstrap',
  catatonit: 'catatonit',
  iptables: 'iptables',
  '/usr/lib/podman/aardvark-dns': 'netavark aardvark-dns',
};

process.exitCode = await testContainers().catch((error) => explain(error));

async function testContainers() {
  const missing = Object.entries(packages).filter(
    ([program]) => spawnSync('sh', ['-c', `command -v "$1"`, 'sh', program]).status !== 0,
  );
  const why =
    process.getuid() !== 0
      ? 'the tests need root'
      : missing.length > 0
        ? `apt-get install --no-install-recommends ${missing.map(([, name]) => name).join(' ')}`
        : undefined;
  if (why !== undefined) {
    process.stdout.write(`skipped: ${why}\n`);
    return 0;
  }
  await prepare();
  const { main } = await import('../../../dist/cli/main.js');
  const status = await main(['setup']);
  if (status !== 0) return status;
  const vitest = join(root, 'node_modules', '.bin', 'vitest');
  const config = join('test', 'system', 'containers', 'vitest.config.ts');
  return (
    spawnSync(vitest, ['run', '--config', config], { cwd: root, stdio: 'inherit' }).status ?? 1
  );
}
