import { defineConfig } from 'vitest/config';

// Timeouts are guards against hanging: the first build downloads half a gigabyte and compiles.
export default defineConfig({
  test: {
    include: ['test/system/containers/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 3_600_000,
    fileParallelism: false,
  },
});
