import { start } from './start.ts';

/** The program of a child process, which needs no check by bin/ of what is installed and built. */
process.exitCode = await start(process.argv.slice(2));
