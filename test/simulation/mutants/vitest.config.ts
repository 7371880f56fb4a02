import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// For the tests in the folders that mutants.ts writes. Timeouts are guards against hanging.
export default defineConfig({
  test: {
    include: ['sources/*/test/**/*.test.ts'],
    setupFiles: [fileURLToPath(new URL('stop-at-failure.ts', import.meta.url))],
    testTimeout: 120_000,
    maxWorkers: '100%',
  },
});
