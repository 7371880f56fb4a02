import { existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join, relative } from 'node:path';
import { shellFolder, shellWord } from '../../shared/shell-word.ts';

/** How the program was started, and where. */
export interface Start {
  /** The script that Node runs, as given on the command line. */
  readonly script: string;
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The folder of the checkout, or of the installed package. */
  readonly root: string;
}

/** Variable that tells child processes how the user started the program. */
const PROGRAM = 'MNIST_DIST_INTERNAL_PROGRAM';
/** The program's name as the source code writes it in messages. */
const NAME = 'mnist-dist';
const NPM = /(?<![\w-])npm (?=(?:ci|start)\b)/g;

// If a command or --help follows, the name begins a command line; otherwise it is only a name.
let typed = /(?!)/g;
let program = NAME;
let npm = 'npm';

/** Makes `typable` return commands that work in the user's shell, here and in child processes. */
export function rememberStart(start: Start, commandNames: readonly string[]): void {
  typed = new RegExp(
    String.raw`(?<![\w./-])(?:npx )?mnist-dist (?=--help\b|(?:${commandNames.join('|')})\b)`,
    'g',
  );
  program = start.environment[PROGRAM] ?? programOf(start);
  process.env[PROGRAM] = program;
  const isInside = prefixOf(shellFolder(start.environment, start.cwd)) === start.root;
  npm = isInside ? 'npm' : `npm --prefix ${shellWord(start.root)}`;
}

/**
 * The text with each command line, such as `mnist-dist verify`, written as the user can type it.
 */
export function typable(text: string): string {
  return program === NAME && npm === 'npm'
    ? text
    : text.replaceAll(typed, () => `${program} `).replaceAll(NPM, () => `${npm} `);
}

/**
 * How the user starts this program from a shell: `mnist-dist` if it is on PATH, `npx mnist-dist` if
 * npx finds it, otherwise `node` with the path to the script. A program that was started with
 * `node` is always written that way.
 */
export function programOf({ script, cwd, environment, root }: Start): string {
  const folder = shellFolder(environment, cwd);
  const bin = join(root, 'bin', `${NAME}.mjs`);
  const isByNpm = environment['npm_command'] !== undefined;
  const real = realPath(script);
  // In the container image, the program on PATH runs the compiled script directly.
  const isByPath = real !== realPath(bin) || script !== real;
  const found = isByPath || isByNpm ? onPath(environment['PATH'] ?? '', isByNpm) : undefined;
  if (found !== undefined && (realPath(found) === realPath(bin) || real.endsWith('entry.js')))
    return NAME;
  if (isByNpm && canNpx(folder, root)) return `npx ${NAME}`;
  return `node ${shellWord(folder === root ? relative(root, bin) : bin)}`;
}

/**
 * Finds the program on PATH, except in the folders that npm prepends, since those are not on the
 * user's own PATH.
 */
function onPath(path: string, isByNpm: boolean): string | undefined {
  return path
    .split(delimiter)
    .filter(
      (folder) => folder !== '' && !(isByNpm && /node_modules\/\.bin$|node-gyp-bin$/.test(folder)),
    )
    .map((folder) => join(folder, NAME))
    .find((file) => existsSync(file));
}

function canNpx(folder: string, root: string): boolean {
  const prefix = prefixOf(folder);
  return (
    prefix === root ||
    (prefix !== undefined && existsSync(join(prefix, 'node_modules', '.bin', NAME)))
  );
}

/**
 * The project that npm finds: the nearest folder, going up, with a package.json or node_modules.
 */
function prefixOf(folder: string): string | undefined {
  const isProject = ['package.json', 'node_modules'].some((name) => existsSync(join(folder, name)));
  if (isProject) return folder;
  const parent = dirname(folder);
  return parent === folder ? undefined : prefixOf(parent);
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
