import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { thisProcess } from '../../../../bin/owner.mjs';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const script = fileURLToPath(new URL('file-systems.mjs', import.meta.url));
const canMount = process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0;
const MOUNTED = 'it is mounted';
const SFTP = '/usr/lib/openssh/sftp-server';

interface FileSystem {
  readonly name: string;
  /** Mounts the file system at `m`; `a`, `b` and `w` are empty folders. */
  readonly mount: string;
  readonly hardLinks: boolean;
}

const image = 'truncate -s 32M image';
/** Detaches the loop device immediately, since the FUSE process keeps it open. */
const fuse = (command: string) =>
  `device=$(losetup -f --show image); ${command}; losetup -d $device`;
const fileSystems: readonly FileSystem[] = [
  { name: 'tmpfs', mount: 'mount -t tmpfs none m', hardLinks: true },
  {
    name: 'overlay',
    mount: 'mount -t overlay none -o lowerdir=a,upperdir=b,workdir=w m',
    hardLinks: true,
  },
  { name: 'ext4', mount: `${image}; mkfs.ext4 -q image; mount -o loop image m`, hardLinks: true },
  {
    name: 'exFAT through FUSE',
    mount: `${image}; mkfs.exfat image; ${fuse('mount.exfat-fuse $device m')}`,
    hardLinks: false,
  },
  { name: 'bindfs', mount: 'bindfs a m', hardLinks: true },
  {
    name: 'overlay through FUSE',
    mount: 'fuse-overlayfs -o lowerdir=a,upperdir=b,workdir=w m',
    hardLinks: true,
  },
  {
    name: 'SFTP',
    mount:
      `printf '#!/bin/sh\\nexec ${SFTP}\\n' > ssh; chmod +x ssh; test -x ${SFTP}; ` +
      'sshfs host:$PWD/a m -o ssh_command=$PWD/ssh',
    hardLinks: true,
  },
];

/** The owner of the lock in `a`: a process with the id of this one, which started earlier. */
const token = '0123456789ab';
const gone = { ...thisProcess(), started: '1', token };

/**
 * Runs the script in its own mount namespace, and unmounts everything before the test removes the
 * folder: the kernel does not free the space of an image that is still mounted.
 */
async function locksOn(mount: string, folder: string): Promise<string> {
  const commands = [
    `mount -t tmpfs none ${folder}; cd ${folder}`,
    `trap 'cd /; umount -R ${folder}' EXIT`,
    `mkdir -p m a/installed/old a/stale/lock/${token} b w`,
    `echo '${JSON.stringify(gone)}' > a/stale/lock/owner.json`,
    `(${mount}) > /dev/null 2>&1; echo ${MOUNTED}`,
    `"${process.execPath}" "${script}" m`,
  ];
  return await new Promise((resolve) => {
    execFile('unshare', ['-m', 'bash', '-ec', commands.join('\n')], (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
  });
}

describe.skipIf(!canMount)('the locks work on', { concurrent: true }, () => {
  it.for(fileSystems)(
    '$name',
    async ({ name, mount, hardLinks }, { expect, skip, onTestFinished }) => {
      const output = await locksOn(mount, temporaryFolder(onTestFinished));
      if (!output.includes(MOUNTED)) skip(`${name} cannot be mounted here`);
      expect(output).toContain(JSON.stringify({ hardLinks, folderSync: true }));
    },
  );
});
