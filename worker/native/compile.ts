import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ClusterError } from '../../shared/errors.ts';
import { LIBRARY_FILES } from './library.ts';
import { lastLines, onPath, runChild } from './run-program.ts';
import { addonSources, nodeApiHeaders, tfjsPackage } from './places.ts';
import { PROGRAM_ANSWER_LIMIT_MILLISECONDS } from '../../shared/limits.ts';

export const COMPILER_FIX = 'install a C++ compiler: sudo apt-get install -y g++';

export interface Compiler {
  readonly command: readonly string[];
  /** The first line that `--version` prints. */
  readonly version: string;
}

/**
 * $CXX (which may contain arguments) if it is set, otherwise the first of c++, g++ and clang++ that
 * runs.
 */
export async function findCompiler(
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Compiler | undefined> {
  const named = (environment['CXX'] ?? '').split(/\s+/).filter((word) => word !== '');
  const candidates = named.length > 0 ? [named] : [['c++'], ['g++'], ['clang++']];
  for (const [program = '', ...rest] of candidates) {
    const path = onPath(program, environment);
    if (path === undefined) continue;
    const answer = await runChild([path, '--version'], {
      limitMilliseconds: PROGRAM_ANSWER_LIMIT_MILLISECONDS,
    });
    if (answer.status === 0)
      return { command: [path, ...rest], version: answer.stdout.split('\n')[0] ?? '' };
  }
  return undefined;
}

export async function requireCompiler(): Promise<Compiler> {
  const compiler = await findCompiler();
  if (compiler !== undefined) return compiler;
  const named = process.env['CXX'];
  throw new ClusterError(
    'SETUP',
    named === undefined || named === ''
      ? 'no C++ compiler was found (c++, g++, clang++)'
      : `CXX=${named} cannot be run`,
    { fix: COMPILER_FIX },
  );
}

/**
 * Compiles tfjs-node's binding against the C library in `library`, and our addons, into `output`.
 * The run path is absolute: ld.so would resolve $ORIGIN to the folder of a symbolic link, which
 * would break TensorFlow's own search path for CUDA.
 */
export async function compileBinding(
  compiler: Compiler,
  library: string,
  output: string,
): Promise<void> {
  const { bindingSources, nodeApi, moduleFile } = tfjsPackage();
  const common = [
    ...compiler.command,
    '-std=gnu++17',
    '-O2',
    '-fPIC',
    '-shared',
    `-DNAPI_VERSION=${nodeApi}`,
    `-I${nodeApiHeaders()}`,
  ];
  const sources = ['tfjs_backend.cc', 'tfjs_binding.cc'].map((name) => join(bindingSources, name));
  const stubs = await compileStubs(compiler, join(dirname(output), 'stubs'));
  const headers = `-I${join(library, 'include')}`;
  const link = [
    `-L${stubs}`,
    '-Wl,--no-as-needed',
    ...LIBRARY_FILES.map((name) => `-l:${name}`),
    `-Wl,-rpath,${library}`,
  ];
  await compile([...common, headers, ...sources, '-o', join(output, moduleFile), ...link]);
  for (const { source, file, isLinked } of addonSources()) {
    const target = [source, '-o', join(output, file)];
    // With -z now, an addon that uses a function which this library lacks cannot be loaded;
    // otherwise, the first call of that function would end the process.
    const linked = [...common, headers, ...target, ...link, '-Wl,-z,now'];
    await compile(isLinked ? linked : [...common, ...target]);
  }
}

/**
 * Compiles empty libraries to link against, named like TensorFlow's. To link against TensorFlow
 * itself, the linker would read half a million symbols, which takes seconds, or minutes on a busy
 * machine, and would check nothing that the smoke test does not check.
 */
async function compileStubs(compiler: Compiler, folder: string): Promise<string> {
  mkdirSync(folder, { recursive: true });
  for (const name of LIBRARY_FILES)
    await compile([
      ...compiler.command,
      '-shared',
      '-x',
      'c++',
      '/dev/null',
      `-Wl,-soname,${name}`,
      '-o',
      join(folder, name),
    ]);
  return folder;
}

async function compile(command: readonly string[]): Promise<void> {
  const result = await runChild(command);
  if (result.status === 0) return;
  const errors = result.stderr.split('\n').filter((line) => /error|no space left/i.test(line));
  const said = errors.length > 0 ? errors.slice(0, 2).join(' | ') : lastLines(result.stderr);
  throw new ClusterError(
    'SETUP',
    `${command[0] ?? ''} could not compile TensorFlow's binding: ${said}`,
    {
      fix: /no space left/i.test(result.stderr)
        ? 'free disk space, or choose another folder: MNIST_DIST_CACHE=DIR'
        : 'install a complete C++17 compiler: sudo apt-get install -y g++ (or set CXX)',
    },
  );
}
