import { watchSignals } from './signals.ts';

// A child process of `local` runs this: the program without the check of bin/ for what is installed and built.
watchSignals();
const { main } = await import('./main.ts');
process.exitCode = await main(process.argv.slice(2));
