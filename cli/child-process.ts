// cli/child-process: millrace's own commands as child processes, and their end.

import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MillraceError } from '../runtime/errors.ts'
import { endsWithin } from '../runtime/wait.ts'

export interface Child {
  readonly name: string
  readonly pid: number
  /** Resolves when the process has ended, however. */
  readonly ended: Promise<number | null>
  /** The last whole line that it wrote to stdout. */
  lastLine(): string
  /** SIGTERM, and SIGKILL for what has not ended after `graceMs`. */
  stop(graceMs?: number): Promise<void>
}

/** Beside this file, as source or compiled. */
const entry = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url))

/** Characters of a child's stdout that are kept to be read. */
const outputKept = 64 * 1024

/** Global options that a child needs to read the same configuration. */
export function sameConfiguration(options: {
  readonly config?: string | undefined
  readonly set?: Readonly<Record<string, string>>
  readonly directory: string
}): string[] {
  const file = options.config === undefined ? [] : ['--config', options.config]
  const settings = Object.entries(options.set ?? {}).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  return [...file, ...settings, '--data', options.directory]
}

/** Runs `millrace ARGS` with the same interpreter as this process; its log goes to `<directory>/log/<name>.log`. */
export function startChild(name: string, args: readonly string[], directory: string): Child {
  mkdirSync(join(directory, 'log'), { recursive: true })
  const log = createWriteStream(join(directory, 'log', `${name}.log`), { flags: 'a' })
  const child = spawn(process.execPath, [...process.execArgv, entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C reaches this process only, which then stops its children in order.
    detached: true,
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output = `${output}${chunk}`.slice(-outputKept)
    log.write(chunk)
  })
  child.stderr.pipe(log, { end: false })
  const ended = new Promise<number | null>(resolve => child.once('exit', code => resolve(code)))
  const lastLine = () => output.trimEnd().split('\n').at(-1) ?? ''
  return { name, pid: child.pid!, ended, lastLine, stop: graceMs => stop(child, ended, graceMs) }
}

/** Rejects as soon as one of the children ends by itself. */
export async function failWithChild(children: readonly Child[], directory: string): Promise<never> {
  const { name, code } = await Promise.race(
    children.map(child => child.ended.then(code => ({ name: child.name, code }))),
  )
  throw new MillraceError('CHILD_ENDED', {
    what: `${name} ended by itself with exit code ${code}`,
    where: join(directory, 'log', `${name}.log`),
    next: 'the end of its log says why',
  })
}

async function stop(child: ChildProcess, ended: Promise<unknown>, graceMs = 12_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  if (await endsWithin(ended, graceMs)) return
  child.kill('SIGKILL')
  await ended
}
