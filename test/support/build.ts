// test/support/build: the project compiled as for the package, once for a run of tests: its commands start three times as fast as from sources.
// May know: the compiler, run as a process.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** What compiled code finds beside it, as in the container's image. */
const beside = ['node_modules', 'model']

/** Where a run of tests tells its files what it has compiled. */
const variable = 'TEST_MAIN'

/**
 * Compiles into `directory`, without checking types.
 * @returns what the test files need in their environment
 * @throws {Error} with the compiler's words; the signal's reason
 */
export async function compile(directory: string, signal?: AbortSignal): Promise<NodeJS.ProcessEnv> {
  mkdirSync(directory, { recursive: true })
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'))
  for (const name of beside) symlinkSync(join(root, name), join(directory, name))
  const output = join(directory, 'dist')
  const options = ['-p', 'tsconfig.build.json', '--noCheck', '--declaration', 'false', '--sourceMap', 'false']
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const child = spawn(process.execPath, [compiler, ...options, '--outDir', output], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(signal && { signal }),
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`tsc ended with ${code}\n${text}`)
  return { [variable]: join(output, 'cli/main.js') }
}

/** Node's arguments that start the command line: compiled where the run has compiled it, else from its sources. */
export function commandLine(): string[] {
  const main = process.env[variable]
  return main ? [main] : ['--import', import.meta.resolve('tsx'), join(root, 'cli/main.ts')]
}
