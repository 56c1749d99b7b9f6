import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: 'forks',
    maxWorkers: 2,
    // Real sockets and processes on a machine that CI shares: once may be chance, thrice is not. It
    // changes nothing for what is simulated, where the same seed gives the same run.
    retry: process.env['CI'] === 'true' ? 2 : 0,
    reporters: ['default', ['json', { outputFile: 'reports/test.json' }]],
  },
});
