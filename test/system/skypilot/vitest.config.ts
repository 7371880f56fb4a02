import { defineConfig } from 'vitest/config';

// Timeouts are guards against hanging: the set-up downloads 300 MB.
export default defineConfig({
  test: {
    include: ['test/system/skypilot/**/*.test.ts'],
    testTimeout: 600_000,
    fileParallelism: false,
  },
});
