import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    globalSetup: ['./install-servers.ts'],
    // What the CI counts from; a person reads the default report.
    reporters: process.env['TEST_REPORTS']
      ? ['default', ['json', { outputFile: `${process.env['TEST_REPORTS']}/integration.json` }]]
      : ['default'],
    testTimeout: 120_000,
    hookTimeout: 240_000,
    // Half of the time is waiting for servers, so two files at a time; more would time each other out on two cores.
    maxWorkers: 2,
  },
});
