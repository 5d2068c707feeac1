// test/support/build: the project and its tests compiled, once for a run of tests: they start three times as fast as from sources.
// May know: the compiler, run as a process.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot, rootVariable } from './root.ts'

/** Where a run of tests tells its files what it has compiled. */
const variable = 'TEST_MAIN'

const output = 'dist'

interface CompileOptions {
  readonly signal?: AbortSignal
  /** Entries of the project's root that compiled code finds beside it; default all. */
  readonly beside?: readonly string[]
}

function besideSources(): string[] {
  return readdirSync(projectRoot).filter(name => !name.startsWith('.') && name !== output)
}

/**
 * Compiles into `directory`, without checking types.
 * @returns what the test files need in their environment
 * @throws {Error} with the compiler's words; the signal's reason
 */
export async function compile(
  directory: string,
  { signal, beside = besideSources() }: CompileOptions = {},
): Promise<NodeJS.ProcessEnv> {
  mkdirSync(directory, { recursive: true })
  for (const name of beside) {
    rmSync(join(directory, name), { force: true })
    symlinkSync(join(projectRoot, name), join(directory, name))
  }
  const options = ['-p', 'tsconfig.json', '--noEmit', 'false', '--noCheck', '--inlineSourceMap']
  const compiler = join(projectRoot, 'node_modules/typescript/bin/tsc')
  const child = spawn(process.execPath, [compiler, ...options, '--outDir', join(directory, output)], {
    cwd: projectRoot,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(signal && { signal }),
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`tsc ended with ${code}\n${text}`)
  return { [variable]: join(directory, output, 'cli/main.js'), [rootVariable]: projectRoot }
}

/** Where the compiled form of a file below the project's root is. */
export function compiledFile(directory: string, path: string): string {
  return join(directory, output, path.replace(/\.ts$/, '.js'))
}

/** Node's arguments that start the command line: compiled where the run has compiled it, else from its sources. */
export function commandLine(): string[] {
  const main = process.env[variable]
  return main ? [main] : ['--import', import.meta.resolve('tsx'), join(projectRoot, 'cli/main.ts')]
}
