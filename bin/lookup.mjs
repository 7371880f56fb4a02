import { lookup } from 'node:dns';

/**
 * Looks up a name for cli/processes/name-lookups.ts, in a process that can be killed. Arguments:
 * the name, and Node's options with `all` as JSON. Prints "FAMILY ADDRESS" per address, or "CODE
 * ERRNO". This is plain JavaScript because it needs nothing else and starts faster alone.
 */

const [name = '', options = ''] = process.argv.slice(2);

// Ends together with its parent, however that ends. process.exit would wait for the lookup.
process.stdin.resume().once('close', () => process.kill(process.pid, 'SIGKILL'));

lookup(name, JSON.parse(options), (error, addresses) => {
  const lines =
    error === null
      ? addresses.map(({ family, address }) => `${family} ${address}`)
      : [`${error.code} ${error.errno}`];
  process.stdout.write(`${lines.join('\n')}\n`, () => process.exit());
});
