import { printHelp } from './printed-help.ts';

/** Runs a command line (without node and script). Resolves with the exit code. */
export async function start(argv: readonly string[]): Promise<number> {
  const printed = printHelp(argv);
  if (printed !== undefined) return printed;
  const { checkedStart } = await import('./checked-start.ts');
  return await checkedStart(argv);
}
