// NODE_OPTIONS=--import=... loads this file into every process of a cluster: a coordinator kills
// itself at named points in its file operations. FAIL_POINTS is the path of a file with one point
// per line, `WHEN OPERATION FILE`. When the process reaches the point in the first line, it removes
// that line and kills itself with SIGKILL, so that the next coordinator reaches the next point.
// With a line `pass POINT`, it only removes the line, which skips the first of several points with
// the same name.
//
// WHEN is before, within (half of the bytes are written) or after; OPERATION is write, sync,
// rename, remove or truncate; FILE is a name without its folder, without the digits of a step or of
// a temporary file. A directory is called `folder`, or `drafts` if it is a coordinator's.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

const list = process.env.FAIL_POINTS;
const original = { ...fs, promises: { ...fs.promises } };
/** Paths by file descriptor. */
const paths = new Map();

if (list !== undefined && process.argv[2] === 'coordinator') {
  fs.promises.open = open;
  fs.promises.writeFile = (path, ...rest) =>
    around('write', path, () => original.promises.writeFile(path, ...rest));
  fs.promises.rename = (from, to) => around('rename', to, () => original.promises.rename(from, to));
  fs.promises.rm = (path, options) =>
    around('remove', path, () => original.promises.rm(path, options));
  fs.promises.truncate = (path, length) =>
    around('truncate', path, () => original.promises.truncate(path, length));
  fs.openSync = (path, ...rest) => {
    const fd = original.openSync(path, ...rest);
    paths.set(fd, path);
    return fd;
  };
  fs.writeSync = (fd, bytes, ...rest) => {
    const path = paths.get(fd);
    return aroundSync(
      'write',
      path,
      () => original.writeSync(fd, bytes, ...rest),
      () => half(fd, bytes),
    );
  };
  fs.fsyncSync = (fd) => aroundSync('sync', paths.get(fd), () => original.fsyncSync(fd));
  fs.ftruncateSync = (fd, length) =>
    aroundSync('truncate', paths.get(fd), () => original.ftruncateSync(fd, length));
  syncBuiltinESMExports();
}

async function open(path, ...rest) {
  const handle = await original.promises.open(path, ...rest);
  paths.set(handle.fd, path);
  for (const [method, operation] of [
    ['write', 'write'],
    ['writeFile', 'write'],
    ['appendFile', 'write'],
    ['sync', 'sync'],
    ['datasync', 'sync'],
  ]) {
    const call = handle[method].bind(handle);
    handle[method] = (bytes, ...more) =>
      around(
        operation,
        path,
        () => call(bytes, ...more),
        () => half(handle.fd, bytes),
      );
  }
  return handle;
}

async function around(operation, path, act, within) {
  const point = `${operation} ${nameOf(path)}`;
  reach(`before ${point}`);
  reach(`within ${point}`, within);
  const result = await act();
  reach(`after ${point}`);
  return result;
}

function aroundSync(operation, path, act, within) {
  const point = `${operation} ${nameOf(path)}`;
  reach(`before ${point}`);
  reach(`within ${point}`, within);
  const result = act();
  reach(`after ${point}`);
  return result;
}

/** Runs `last` and kills the process if this is the next point. */
function reach(point, last) {
  const [next, ...later] = original.readFileSync(list, 'utf8').split('\n');
  if (next !== point && next !== `pass ${point}`) return;
  if (next === point) last?.();
  original.writeFileSync(list, later.join('\n'));
  if (next !== point) return;
  process.kill(process.pid, 'SIGKILL');
}

function half(fd, bytes) {
  const all = Buffer.from(bytes);
  original.writeSync(fd, all, 0, all.length >> 1);
}

function nameOf(path) {
  if (typeof path !== 'string') return '';
  if (/^\.drafts-\d+$/.test(basename(path))) return 'drafts';
  if (original.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return 'folder';
  const name = basename(path).replace(/^\.(.+)\.[0-9a-f]{12}\.tmp$/, '$1');
  return name.replace(/^step-\d{10}/, 'step');
}
