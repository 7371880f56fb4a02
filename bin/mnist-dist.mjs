#!/usr/bin/env node
// Works on a fresh clone: installs and builds what is missing, then starts the actual program.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `error: this is Node ${process.versions.node}; mnist-dist needs Node 20.19 or later\n`,
  );
  process.stderr.write('  fix: install a newer Node, for example from https://nodejs.org\n');
  process.exitCode = 10;
} else {
  if ((await isPrepared()) || (await canPrepare())) {
    const { start } = await import('../dist/cli/start.js');
    process.exitCode = await start(process.argv.slice(2));
  }
}

/** False if anything is missing or damaged, which prepare() then repairs or reports. */
async function isPrepared() {
  const { isPrepared: look } = await import('./prepared.mjs');
  try {
    return look();
  } catch {
    return false;
  }
}

/** Installs and builds what is missing. If that fails, prints why and sets the exit code. */
async function canPrepare() {
  const { watchSignals } = await import('./hang-up.mjs');
  watchSignals();
  const { explain, prepare } = await import('./bootstrap.mjs');
  return prepare().then(
    () => true,
    (error) => {
      process.exitCode = explain(error);
      return false;
    },
  );
}
