import { defineConfig } from 'vitest/config';

// Timeouts are guards against hanging: the set-up downloads 600 MB, which a hook removes.
export default defineConfig({
  test: {
    include: ['test/system/skypilot/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});
