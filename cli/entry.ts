import { start } from './start.ts';

/** Entry point of child processes, which skip the check in bin/ of what is installed and built. */
process.exitCode = await start(process.argv.slice(2));
