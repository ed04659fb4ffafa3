import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Minutes of building or downloading: `npm run test:long` only.
    exclude: [...(process.env['ESPALIER_LONG'] === '1' ? [] : ['test/**/long/**']), '**/node_modules/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The compiled package runs as users run it, not through the bundler's transforms.
    server: { deps: { external: [/\/dist\//] } },
  },
})
