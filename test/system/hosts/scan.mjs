// Prints the TCP ports at an address that accept connections from here, one per line: `node
// scan.mjs 10.77.0.1`.
import { connect } from 'node:net';

const LAST_PORT = 65_535;
const AT_ONCE = 256;
const [host] = process.argv.slice(2);
let next = 1;
await Promise.all(Array.from({ length: AT_ONCE }, knock));

async function knock() {
  while (next <= LAST_PORT) {
    const port = next++;
    if (await isOpen(port)) process.stdout.write(`${port}\n`);
  }
}

function isOpen(port) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) =>
      error.code === 'ECONNREFUSED' ? resolve(false) : reject(error),
    );
  });
}
