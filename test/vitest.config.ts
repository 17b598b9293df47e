import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['**/*.test.ts'],
    // What the CI counts from; a person reads the default report.
    reporters: process.env['TEST_REPORTS']
      ? ['default', ['json', { outputFile: `${process.env['TEST_REPORTS']}/unit.json` }]]
      : ['default'],
    testTimeout: 10_000,
  },
});
