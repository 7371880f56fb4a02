import { defineConfig } from 'vitest/config';

// Vitest leaves one processor free: on two, it would run one file at a time.
const maxWorkers = '100%';

// Timeouts guard against hanging; they do not measure speed.
export default defineConfig({
  test: {
    // Concurrent tests of one file.
    maxConcurrency: 2,
    projects: [
      {
        // Runs in under two minutes without TensorFlow (npm run test:unit).
        test: {
          name: 'unit',
          include: ['test/*.test.ts', 'test/unit/**/*.test.ts'],
          exclude: ['test/unit/**/{tensorflow,bench}.test.ts'],
          testTimeout: 120_000,
          maxWorkers,
        },
      },
      {
        // The simulator and its guards: computation only, on all processors.
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          testTimeout: 120_000,
          maxWorkers,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Hostile peers, the bench, and tests of TensorFlow.
        test: {
          name: 'slow',
          include: ['test/hostile/**/*.test.ts', 'test/unit/**/{tensorflow,bench}.test.ts'],
          testTimeout: 120_000,
          // One file at a time: some tests measure CPU time or memory.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          // Separate runs: npm run test:gpu, test:containers, test:package-managers, test:ray,
          // test:skypilot.
          exclude: ['test/system/{gpu,containers,package-managers,ray,skypilot}/**'],
          testTimeout: 300_000,
          // They wait much of the time, for processes and for limits.
          maxWorkers,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'gpu',
          include: ['test/system/gpu/**/*.test.ts'],
          testTimeout: 600_000,
          fileParallelism: false,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
