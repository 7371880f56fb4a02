import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { runChild } from './run-program.ts';

/**
 * The libraries that TensorFlow 2.21 opens before it registers a GPU. If one is missing, TensorFlow
 * silently uses no GPU.
 */
export const cudaLibraries: readonly string[] = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcufft.so.11',
  'libcusolver.so.11',
  'libcusparse.so.12',
  'libcudnn.so.9',
];
/** This library is part of the driver, not of CUDA. */
export const driverLibrary = 'libcuda.so.1';

/**
 * The LD_LIBRARY_PATH for the CUDA wheels unpacked next to `library`; undefined if there are none.
 */
export function cudaLibraryPath(library: string): string | undefined {
  const nvidia = join(library, '..', 'nvidia');
  if (!existsSync(nvidia)) return undefined;
  const directories = readdirSync(nvidia)
    .toSorted()
    .map((name) => join(nvidia, name, 'lib'))
    .filter((directory) => existsSync(directory));
  return directories.length === 0 ? undefined : directories.join(':');
}

// dlopen always fails, because these libraries are not addons. The message comes from the linker
// only if the library could not be loaded.
const script = `
const { dlopen } = require('node:os').constants;
const missing = {};
for (const name of process.argv.slice(1)) {
  try {
    process.dlopen({ exports: {} }, name, dlopen.RTLD_LAZY);
  } catch (error) {
    if (!/did not self-register/.test(error.message)) missing[name] = error.message;
  }
}
console.log(JSON.stringify(missing));
`;

/**
 * The libraries that the linker cannot load in a process with this environment, each with the
 * linker's message. A child process tries them, since LD_LIBRARY_PATH is read when a process
 * starts.
 */
export async function missingLibraries(
  names: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<ReadonlyMap<string, string>> {
  const result = await runChild([process.execPath, '-e', script, ...names], {
    environment: { ...process.env, ...environment },
    limitMilliseconds: 60_000,
  });
  if (result.status !== 0)
    return new Map(
      names.map((name) => [name, 'the linker crashed on this library or on one before it']),
    );
  const missing: unknown = JSON.parse(result.stdout);
  return new Map(
    typeof missing === 'object' && missing !== null
      ? Object.entries(missing).map(([name, message]): [string, string] => [name, String(message)])
      : [],
  );
}
