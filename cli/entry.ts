import { start } from './start.ts';

/**
 * What a child process of `local` runs: the program without bin/'s look at what is installed and
 * built.
 */
process.exitCode = await start(process.argv.slice(2));
