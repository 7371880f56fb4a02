import { start } from './start.ts';

/** Entry point of child processes, for which bin/ need not check what is installed and built. */
process.exitCode = await start(process.argv.slice(2));
