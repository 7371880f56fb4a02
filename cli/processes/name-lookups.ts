import { spawn, type ChildProcess } from 'node:child_process';
import dns, { type LookupAddress, type LookupOptions } from 'node:dns';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { packageRoot } from '../../shared/package-root.ts';

type Callback = (
  error: NodeJS.ErrnoException | null,
  address?: string | LookupAddress[],
  family?: number,
) => void;
/** Node's options, or a family. */
type Options = LookupOptions | LookupOptions['family'];
/** Undefined if the process could not look anything up. */
type Answer = NodeJS.ErrnoException | LookupAddress[] | undefined;

const ownProgram = join(packageRoot, 'bin', 'lookup.mjs');
const ownLookup = dns.lookup;

/**
 * Looks names up in child processes. In this process, a lookup would block a thread until all name
 * servers have had their time, which may be minutes, and neither the end of a command nor
 * process.exit can interrupt it.
 */
export class NameLookups {
  readonly #program: string;
  /** The callers that wait for each child process. Equal lookups share one. */
  readonly #waiting = new Map<string, ((answer: Answer) => void)[]>();
  readonly #children = new Set<ChildProcess>();

  constructor(program = ownProgram) {
    this.#program = program;
  }

  /** Has the signature of dns.lookup. */
  readonly lookup = (name: string, given: Options | Callback, last?: Callback): void => {
    const callback = typeof given === 'function' ? given : last;
    if (callback === undefined) throw new TypeError('a lookup needs a callback');
    const options = optionsOf(given);
    // These need no name server.
    if (!name || isIP(name) !== 0 || name === 'localhost')
      return ownLookup(name, options, callback);
    this.#ask(name, options, (answer) => {
      if (answer === undefined) return ownLookup(name, options, callback);
      if (answer instanceof Error) return callback(answer);
      if (options.all === true) return callback(null, answer);
      return callback(null, answer[0]?.address, answer[0]?.family);
    });
  };

  /** Ends all lookups; their callers get no answer. */
  readonly end = (): void => {
    this.#waiting.clear();
    for (const child of this.#children) child.kill('SIGKILL');
  };

  #ask(name: string, options: LookupOptions, take: (answer: Answer) => void): void {
    const args = [name, JSON.stringify({ ...options, all: true })];
    const key = JSON.stringify(args);
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      waiting.push(take);
      return;
    }
    const own = [take];
    this.#waiting.set(key, own);
    this.#start(args, (text) => {
      if (this.#waiting.get(key) !== own) return;
      this.#waiting.delete(key);
      for (const each of own) each(answerOf(name, text));
    });
  }

  #start(args: readonly string[], take: (text: string) => void): void {
    const order = `--dns-result-order=${dns.getDefaultResultOrder()}`;
    let text = '';
    try {
      const child = spawn(process.execPath, [order, this.#program, ...args], {
        env: environment(),
        stdio: ['pipe', 'pipe', 'ignore'],
        // Signals to this process's group, such as Ctrl-C, are for this process only.
        detached: true,
      });
      this.#children.add(child);
      child.stdin.on('error', () => undefined);
      child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      // A child that could not be started is closed as well.
      child
        .once('error', () => undefined)
        .once('close', () => {
          this.#children.delete(child);
          take(text);
        });
    } catch {
      setImmediate(take, '');
    }
  }
}

function optionsOf(given: Options | Callback): LookupOptions {
  if (typeof given === 'function' || given === undefined) return {};
  return typeof given === 'object' ? given : { family: given };
}

/** The child needs neither the token nor options that are meant for this process. */
function environment(): NodeJS.ProcessEnv {
  const isNeeded = ([name]: [string, unknown]) => !/^(MNIST_DIST_|NODE_)/.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(isNeeded));
}

/** Parses what bin/lookup.mjs printed. */
function answerOf(name: string, text: string): Answer {
  const failure = /^(E\w+) (-?\d+)$/m.exec(text);
  if (failure !== null) {
    const [, code = '', errno] = failure;
    return Object.assign(new Error(`getaddrinfo ${code} ${name}`), {
      code,
      errno: Number(errno),
      syscall: 'getaddrinfo',
      hostname: name,
    });
  }
  const addresses = [...text.matchAll(/^([46]) (\S+)$/gm)].map(([, family, address = '']) => ({
    address,
    family: Number(family),
  }));
  return addresses.length === 0 ? undefined : addresses;
}

const lookups = new NameLookups();

/**
 * Makes all connections and listeners of this thread look names up in child processes, including
 * those of libraries: node:net reads dns.lookup each time.
 */
export function lookUpInChildren(): void {
  if (dns.lookup === lookups.lookup) return;
  Object.assign(dns, { lookup: lookups.lookup });
  process.once('exit', lookups.end);
}

/** Ends pending lookups, which would keep this process alive. */
export const endLookups = lookups.end;
