// A setup file for vitest: after the first failure in a file, the file's other tests are skipped.
// vitest's own `bail` would also skip the other files.
import { afterEach, beforeEach } from 'vitest';

let hasFailed = false;

beforeEach(({ skip }) => {
  if (hasFailed) skip();
});

afterEach(({ task }) => {
  hasFailed ||= task.result?.state === 'fail';
});
