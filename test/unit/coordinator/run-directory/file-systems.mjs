// Uses both locks on a folder's file system, acting as their owners and as their successors. Prints
// what the file system supports; fails if a lock fails.
import assert from 'node:assert/strict';
import { closeSync, linkSync, mkdirSync, openSync } from 'node:fs';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from '../../../../dist/bin/lock.mjs';
import { systemProcesses } from '../../../../dist/coordinator/run-directory/processes.js';
import { RunLock } from '../../../../dist/coordinator/run-directory/run-lock.js';
import { systemDisk } from '../../../../dist/shared/disk/disk.js';
import { writeWhole } from '../../../../dist/shared/disk/whole-file.js';
import { systemClock } from '../../../../dist/shared/clock.js';

const folder = join(process.argv[2], 'locks');
mkdirSync(folder);
const place = (processes) => ({ disk: systemDisk, clock: systemClock, processes });
const elsewhere = {
  ...systemProcesses,
  self: () => ({ ...systemProcesses.self(), host: 'elsewhere' }),
};
const run = join(folder, 'run');
mkdirSync(run);

// Only one of several processes that start at the same moment takes the run.
const attempts = Array.from({ length: 4 }, () => RunLock.take(run, false, place(systemProcesses)));
const results = await Promise.allSettled(attempts);
const [first, ...others] = results.flatMap(({ value }) => value ?? []);
assert.equal(others.length, 0);
for (const { reason } of results) assert.equal(reason?.code ?? 'LOCKED', 'LOCKED');
await first.removeOlderStaging();
await first.renew();
await writeWhole(join(run, 'run.json'), 'first', systemDisk, first.staging);

// Another host takes the run over. The process on the first host then resumes, but cannot write
// anything. Another process has one of the first process's files open, so FUSE keeps it under
// another name.
const reader = openSync(join(first.staging, 'owner.json'));
const second = await RunLock.take(run, true, place(elsewhere));
await second.removeOlderStaging();
assert.equal(await first.status(), 'taken');
closeSync(reader);
await assert.rejects(writeWhole(join(run, 'run.json'), 'late', systemDisk, first.staging));
await assert.rejects(first.renew());
await first.release();
await writeWhole(join(run, 'run.json'), 'second', systemDisk, second.staging);
assert.equal(readFileSync(join(run, 'run.json'), 'utf8'), 'second');
assert.equal(await second.status(), 'held');
await second.release();
await (await RunLock.take(run, false, place(systemProcesses))).release();

// Only one set-up runs at a time.
let inside = 0;
const setUp = async (lease) => {
  assert.equal(++inside, 1);
  writeFileSync(join(lease.folder, 'result'), '');
  await new Promise(setImmediate);
  inside -= 1;
};
const cache = join(folder, 'cache');
await Promise.all([1, 2, 3].map(() => withLock(join(cache, 'lock'), setUp)));
assert.deepEqual(readdirSync(cache), []);

// Set-up replaces an existing folder, which on overlay is in a lower layer.
const installed = join(process.argv[2], 'installed');
await withLock(join(folder, 'lock'), async (lease) => {
  const fresh = join(lease.folder, 'fresh');
  mkdirSync(fresh);
  writeFileSync(join(fresh, 'new'), '');
  lease.replace(fresh, installed);
});
assert.deepEqual(readdirSync(installed), ['new']);

// Set-up takes over a lock whose owner is gone, and which on overlay is in a lower layer. On an
// overlay through FUSE, that lock reappears after the set-up, so a second set-up does the same.
const stale = join(process.argv[2], 'stale', 'lock');
for (const run of ['first', 'second']) assert.equal(await withLock(stale, async () => run), run);

const hasLinks = () => {
  try {
    linkSync(join(run, 'run.json'), join(run, 'link'));
    return true;
  } catch {
    return false;
  }
};
process.stdout.write(
  JSON.stringify({ hardLinks: hasLinks(), folderSync: await systemDisk.syncDirectory(run) }),
);
