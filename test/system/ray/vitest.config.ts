import { defineConfig } from 'vitest/config';

// Timeouts guard against hanging; they do not measure speed.
export default defineConfig({
  test: {
    include: ['test/system/ray/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
});
