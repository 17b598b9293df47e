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
    // Two cores and several database servers: files in turn, so that a slow one does not time out another.
    fileParallelism: false,
  },
});
