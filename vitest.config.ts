import { defineConfig } from 'vitest/config';

// Timeouts are guards against hanging, never a measure of speed.
export default defineConfig({
  test: {
    // Of one file's tests, where it says that they may run at once.
    maxConcurrency: 2,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/system/**'],
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          // Each of the two has a run of its own (npm run test:gpu, npm run test:containers).
          exclude: ['test/system/{gpu,containers}/**'],
          testTimeout: 300_000,
          // Each of them fills the machine.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'gpu',
          include: ['test/system/gpu/**/*.test.ts'],
          testTimeout: 600_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
