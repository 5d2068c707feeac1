// cli/child-process: runs millrace's own commands as child processes.

import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MillraceError } from '../runtime/errors.ts'
import { endsWithin } from '../runtime/wait.ts'

export interface Child {
  readonly name: string
  readonly pid: number
  /** Resolves when the process has ended, for whatever reason. */
  readonly ended: Promise<number | null>
  /** The last whole line that it wrote to stdout. */
  lastLine(): string
  /** Sends SIGTERM, and SIGKILL when the process is still running after `graceMs`. */
  stop(graceMs?: number): Promise<void>
}

/** The entry of the program is in this folder, as source or compiled. */
const entry = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js', import.meta.url))

/** Characters of a child's stdout that are kept. */
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

/** Runs `millrace ARGS` with this process's interpreter; logs to `<directory>/log/<name>.log`. */
export function startChild(name: string, args: readonly string[], directory: string): Child {
  mkdirSync(join(directory, 'log'), { recursive: true })
  const log = createWriteStream(join(directory, 'log', `${name}.log`), { flags: 'a' })
  const child = spawn(process.execPath, [...process.execArgv, entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its own process group: Ctrl-C reaches only this process, which then stops its children.
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
    next: 'read the end of its log for the reason',
  })
}

async function stop(child: ChildProcess, ended: Promise<unknown>, graceMs = 12_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  if (await endsWithin(ended, graceMs)) return
  child.kill('SIGKILL')
  await ended
}
