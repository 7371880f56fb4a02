import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folderLibrary, pinnedLibrary } from '../../../../worker/native/library.ts';
import type { LibraryPlaces } from '../../../../worker/native/library.ts';
import { fetchWheel } from '../../../../worker/native/pip.ts';
import type { Wheel, WheelSet } from '../../../../worker/native/wheels.ts';
import { standIns, systemPath, zip } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const ignore = (): void => undefined;

/** An index with two small wheels, and a fake pip that runs the given download command. */
function smallIndex() {
  const folder = temporaryFolder();
  const add = (project: string, files: Readonly<Record<string, string>>): Wheel => {
    const file = `${project}-1-py3-none-manylinux_2_17_x86_64.whl`;
    const bytes = zip(files);
    writeFileSync(join(folder, file), bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { project, version: '1', file, sha256, megabytes: 1 };
  };
  const tensorflow = add('small', {
    'tensorflow/libtensorflow_cc.so.2': 'the library',
    'tensorflow/libtensorflow_framework.so.2': 'the framework',
    'tensorflow/include/tensorflow/c/c_api.h': '// a header',
    'tensorflow/python/unwanted.py': 'nothing',
  });
  const cuda = add('cuda', {
    'nvidia/cudnn/lib/libcudnn.so.9': 'cudnn',
    'nvidia/cudnn/include/cudnn.h': '',
  });
  const set: WheelSet = {
    name: 'small-set',
    device: 'cuda',
    wheels: [tensorflow, cuda],
    unpackedMegabytes: 1,
  };
  const calls = join(folder, 'calls');
  const pip = (download: string): void => {
    // The destination follows --dest; the last argument is the requirements file, which contains
    // the project.
    const script = `
if [ "$1" = --version ]; then echo "pip 99 from here"; exit 0; fi
while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done
project=$(sed 's/==.*//' "$1"); echo $project >> ${calls}
${download}`;
    standIns({ pip3: script }, systemPath);
  };
  const cache = join(temporaryFolder(), 'cache');
  const places: LibraryPlaces = { cache, temporary: join(cache, 'tmp') };
  const called = (): string[] =>
    existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : [];
  const copy = `cp ${folder}/$project-1-py3-none-manylinux_2_17_x86_64.whl $dest/`;
  return { set, tensorflow, pip, copy, cache, places, called };
}

describe('a pinned library', () => {
  test('is downloaded and unpacked without unneeded files; its wheels are removed', async () => {
    const { set, pip, copy, cache, places } = smallIndex();
    pip(copy);
    const library = await pinnedLibrary(set, places, false, ignore);
    expect(readFileSync(join(library.directory, 'libtensorflow_cc.so.2'), 'utf8')).toBe(
      'the library',
    );
    expect(existsSync(join(library.directory, 'python'))).toBe(false);
    expect(library.environment['LD_LIBRARY_PATH']).toBe(
      join(cache, 'libraries/small-set/nvidia/cudnn/lib'),
    );
    expect(readdirSync(join(cache, 'wheels'))).toEqual([]);
  });

  test('needs neither pip nor a connection the second time', async () => {
    const { set, pip, copy, places } = smallIndex();
    pip(copy);
    const first = await pinnedLibrary(set, places, false, ignore);
    standIns({});
    expect(await pinnedLibrary(set, places, true, ignore)).toEqual(first);
  });

  test('resumes after a failure without downloading a wheel again', async () => {
    const { set, pip, copy, cache, places, called } = smallIndex();
    pip(
      '[ $project = cuda ] && { echo cut > $dest/half.whl; echo "ERROR: connection broken" >&2; ' +
        `exit 1; }; ${copy}`,
    );
    await expect(pinnedLibrary(set, places, false, ignore)).rejects.toThrow(
      /cuda 1 could not be downloaded.*broken/,
    );
    expect(readdirSync(join(cache, 'wheels'))).toEqual([set.wheels[0]?.file]);
    expect(existsSync(join(cache, 'libraries'))).toBe(false);
    pip(copy);
    await pinnedLibrary(set, places, false, ignore);
    expect(called()).toEqual(['small', 'cuda', 'cuda']);
  });

  test('is reported file by file if it is missing and the set-up is offline', async () => {
    const { set, pip, copy, places, called } = smallIndex();
    pip(copy);
    await expect(pinnedLibrary(set, places, true, ignore)).rejects.toThrow(
      /small-set.*missing: small-1.*, cuda-1/,
    );
    expect(called()).toEqual([]);
  });

  test('is not available without pip, and the error says how to install pip', async () => {
    const { set, places } = smallIndex();
    standIns({});
    await expect(pinnedLibrary(set, places, false, ignore)).rejects.toMatchObject({
      code: 'SETUP',
      message: 'pip was not found',
      fix: expect.stringContaining('python3-pip'),
    });
  });
});

describe('a wheel', () => {
  test('with a wrong SHA-256 is rejected and removed', async () => {
    const { tensorflow, pip, copy, cache, places } = smallIndex();
    pip(`${copy}; echo more >> $dest/small-1-py3-none-manylinux_2_17_x86_64.whl`);
    const wheels = join(cache, 'wheels');
    await expect(
      fetchWheel(tensorflow, wheels, join(places.temporary, 'download'), ignore),
    ).rejects.toThrow(/SHA-256/);
    expect(readdirSync(wheels)).toEqual([]);
  });

  test('that is damaged in the cache is downloaded again', async () => {
    const { tensorflow, pip, copy, cache, places, called } = smallIndex();
    pip(copy);
    const wheels = join(cache, 'wheels');
    const fetch = () => fetchWheel(tensorflow, wheels, join(places.temporary, 'download'), ignore);
    writeFileSync(await fetch(), 'damaged');
    await fetch();
    expect(called()).toEqual(['small', 'small']);
  });
});

test('a folder without TensorFlow is rejected, and the error shows its name', () => {
  const folder = temporaryFolder();
  expect(() => folderLibrary(folder)).toThrow(
    `--tensorflow ${folder}: libtensorflow_cc.so.2 is missing (empty folder)`,
  );
});
