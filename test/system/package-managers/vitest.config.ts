import { defineConfig } from 'vitest/config';

// Timeouts are guards against hanging: each installation downloads up to 100 MB.
export default defineConfig({
  test: {
    include: ['test/system/package-managers/**/*.test.ts'],
    testTimeout: 1_200_000,
    hookTimeout: 1_200_000,
    fileParallelism: false,
  },
});
