import { main } from './main.ts';

/** What a child process of `local` runs: the program without bin/'s look at what is installed and built. */
process.exitCode = await main(process.argv.slice(2));
